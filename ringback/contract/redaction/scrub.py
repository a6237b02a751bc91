"""Removes secrets from texts: credentials in URLs, and hidden values that a text quotes."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, unquote

from ringback.contract.redaction.secret_names import Name

REDACTED = "[redacted by Ringback]"
"""Replaces each hidden value."""


_MARK = re.escape(REDACTED)
_URL = re.compile(rf"(?<=://)(?:[^\s\"<>\[]+|{_MARK}|\[)+")
_PARAMETER = re.compile(rf"([?&;#])([^=&;#?]+)=({_MARK}|[^&;#]*)")
_AUTHORITY = re.compile(rf"(?:[^/?#\[]+|{_MARK}|\[)*")
_HOST = re.compile(r"(?:[^:]*|\[.*\])(?::\d{0,5})?")
#: In a query these are secrets even without another word: `?key=AIza...`, `?sig=...`.
_IN_A_QUERY = frozenset({"key", "sign"})
_ENCODED_MARK = quote(REDACTED, safe="")
_MAX_URLS_WITHIN_URLS = 4
_ENCODED_URL = re.compile(r"%3a(?:%2f|/){2}", re.IGNORECASE)

Judge = Callable[[str], Name]


def without_url_secrets(text: str, hidden: list[str], judge: Judge) -> str:
    """Return the same object if nothing is hidden. Adds what it hides to `hidden`."""
    return _text(text, hidden, judge, _MAX_URLS_WITHIN_URLS)


def _text(text: str, hidden: list[str], judge: Judge, levels: int) -> str:
    if "=" not in text and "@" not in text:
        return text
    redacted = _URL.sub(lambda found: _url(found[0], hidden, judge, levels), text)
    return text if redacted == text else redacted


def _url(rest: str, hidden: list[str], judge: Judge, levels: int) -> str:
    """`rest` is what follows `://`."""
    if "@" in rest:
        rest = _without_user(rest, hidden)
    return _PARAMETER.sub(lambda found: _parameter(found, hidden, judge, levels), rest)


def _without_user(rest: str, hidden: list[str]) -> str:
    matched = _AUTHORITY.match(rest)
    authority = matched[0] if matched else ""
    # A password may contain a slash that should have been encoded.
    if "@" not in authority and not _HOST.fullmatch(authority):
        authority = rest
    user, at, _ = authority.rpartition("@")
    if not at:
        return rest
    _hide(user, hidden)
    _hide(user.partition(":")[2], hidden)
    return REDACTED + rest[len(user) :]


def _parameter(found: re.Match[str], hidden: list[str], judge: Judge, levels: int) -> str:
    before, name, value = found.groups()
    known = unquote(name) if "%" in name else name
    is_url = bool(_ENCODED_URL.search(value))
    is_secret = judge(known) is not Name.ORDINARY or known.lower() in _IN_A_QUERY
    if value and (is_secret or (is_url and not levels)):
        _hide(value, hidden)
        value = REDACTED
    elif is_url:
        decoded = unquote(value)
        redacted = _text(decoded, hidden, judge, levels - 1)
        if redacted is not decoded:
            value = quote(redacted, safe="").replace(_ENCODED_MARK, REDACTED)
    return f"{before}{name}={value}"


def _hide(value: str, hidden: list[str]) -> None:
    if value and value != REDACTED:
        hidden.extend(dict.fromkeys((value, unquote(value))))


_SHORTEST = 4
"""Shorter values reveal little, and removing them would cut up any text."""

_END = 8
"""This much of the beginning or end of a value counts as a quotation, because texts are cut."""

_MAX_REST = _END - 1
"""Characters of a cut value that may be left at the end of a text."""

_WRITTEN_ALIKE = re.compile(r"[A-Za-z0-9_.~-]+")


def scrub_secrets(text: str, hidden: Sequence[str]) -> str:
    """The text without the hidden values, whole or cut, raw or as a program prints them."""
    # An event may hide thousands of values. To search for each in the text takes too long.
    parts = {text[at : at + _END] for at in range(len(text) - _END + 1)}
    found = [
        value
        for value in _written(hidden, text)
        if len(value) <= _END or value[:_END] in parts or value[-_END:] in parts
    ]
    for value in sorted(found, key=len, reverse=True):
        if len(value) <= _END:
            text = text.replace(value, REDACTED)
            continue
        if value[:_END] in text:
            text = _without_beginnings(text.replace(value, REDACTED), value)
        if value[-_END:] in text:
            text = _without_beginnings(text[::-1], value[::-1], REDACTED[::-1])[::-1]
    return text


def scrub_beginning(text: str, size: int, hidden: Sequence[str]) -> str:
    """The same for about the first `size` characters, which takes less time for a long text.

    A value that is cut there is not shown either.
    """
    if len(text) <= size:
        return scrub_secrets(text, hidden)
    beginning = scrub_secrets(text[: size + _MAX_REST], hidden)
    return beginning if beginning.endswith(REDACTED) else beginning[:-_MAX_REST]


def _written(hidden: Sequence[str], text: str) -> Iterator[str]:
    """The values, each in the ways in which it may be written in the text.

    A way that changes a value adds a backslash or a percent sign to it.
    """
    is_escaped, is_encoded = "\\" in text, "%" in text
    for value in hidden:
        if len(value) < _SHORTEST:
            continue
        yield value
        if (is_escaped or is_encoded) and not _WRITTEN_ALIKE.fullmatch(value):
            if is_escaped:
                yield repr(value)[1:-1]
                yield json.dumps(value)[1:-1]
                yield json.dumps(value, ensure_ascii=False)[1:-1]
            if is_encoded:
                encoded = quote(value, safe="", errors="replace")
                yield encoded
                yield encoded.replace("%2F", "/")


def _without_beginnings(text: str, value: str, redacted: str = REDACTED) -> str:
    beginning = value[:_END]
    parts, start = [], 0
    while (at := text.find(beginning, start)) >= 0:
        end = at + _END
        while end < len(text) and end - at < len(value) and text[end] == value[end - at]:
            end += 1
        parts += [text[start:at], redacted]
        start = end
    return "".join([*parts, text[start:]])
