"""Hides credentials in URLs within a text: the user, and values of the query."""

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

from ringback.contract.redaction.mark import REDACTED
from ringback.contract.redaction.secret_names import Name

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
