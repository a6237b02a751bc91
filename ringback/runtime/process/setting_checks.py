"""Checks of settings. Their errors do not quote the value, which may be secret."""

import re
from pathlib import Path
from typing import Any, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

_MAX_HEADER_VALUE = 4_000
_MAX_DIGITS = 18


def without_slips(text: str, kinds: set[Any]) -> str | Path:
    """Remove what files and shells add to a value. Raises ValueError for likely mistakes."""
    line = text.strip("\r\n")
    stripped = line.strip()
    if stripped[:1] in {"'", '"'} and stripped[0] == stripped[-1]:
        raise ValueError("is in quotes, which would be part of it; leave them out")
    if kinds & {int, float} and len(stripped) > _MAX_DIGITS:
        raise ValueError(f"must be a number of at most {_MAX_DIGITS} digits")
    if Path in kinds:
        return expanded(stripped)
    if SecretStr not in kinds:
        return stripped
    if line != stripped:
        raise ValueError("begins or ends with a blank")
    return line


def kinds_in(annotation: Any) -> set[Any]:
    """List the types in an annotation."""
    parts = [kinds_in(part) for part in get_args(annotation)]
    return {annotation}.union(*parts)


def expanded(path: str) -> Path:
    """Expand a leading `~`, as a shell does."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, but there is no such home folder") from None


def url_parts(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split a URL. Raises ValueError."""
    beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
    sentence = f"must be a URL that begins with {beginnings}, with a number for a port"
    if not text.isprintable() or " " in text:
        raise ValueError("has a blank or a control character in it; a URL has %20 for a blank")
    try:
        parts = urlsplit(text)
        scheme, _ = parts.scheme, parts.port
    except ValueError:
        raise ValueError(sentence) from None
    if scheme not in schemes:
        raise ValueError(sentence)
    return parts


def server_url(value: SecretStr, *schemes: str, needs_host: bool = True) -> SecretStr:
    """Check a server URL that contains user and password. Raises ValueError."""
    parts = url_parts(value.get_secret_value(), schemes)
    if needs_host and not parts.hostname:
        raise ValueError("must be a URL with a host")
    if "#" in value.get_secret_value() or "@" in parts.path + parts.query:
        raise ValueError(
            "has # or @ after the host; in a user or password write %23, %40, and %2F for /"
        )
    return value


def header_value(text: str) -> str:
    """Check that a header can contain it. Raises ValueError."""
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError(
            "must be letters, digits and signs of ASCII: a header carries nothing else"
        )
    if len(text) > _MAX_HEADER_VALUE:
        raise ValueError(f"must have at most {_MAX_HEADER_VALUE:,} letters")
    return text


def host(value: str) -> str:
    """Check the address that a server listens on. Raises ValueError."""
    if not all(re.fullmatch(r"\s*[^\s/@?#]+\s*", part) for part in value.split(",")):
        raise ValueError("must be addresses or host names to listen on, without a port, or *")
    return value
