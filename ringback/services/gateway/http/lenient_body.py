"""Recovers an event from a malformed body, since Vapi never retries a rejected webhook."""

import codecs
import json
import re

_MAX_TYPE_BYTES = 255
_JSON = re.compile(r"(application/json|[\w!#$&^.+-]+/[\w!#$&^.+-]+\+json)[ \t]*(;.*)?", re.ASCII)
_CHARSET = re.compile(r';[ \t]*charset[ \t]*=[ \t]*"?([\w.:-]+)', re.ASCII)
_CHARSETS = frozenset(
    {
        *("cp1252", "iso8859-1", "iso8859-15"),
        *("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"),
    }
)
"""Charsets other than UTF-8 that senders use for JSON, by their Python names."""


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is application/json or …/…+json, and not too long."""
    if content_type is None or len(content_type.encode(errors="replace")) > _MAX_TYPE_BYTES:
        return False
    return _JSON.fullmatch(content_type.strip().lower()) is not None


def supported_charset(content_type: str | None) -> str | None:
    """The supported charset of a Content-Type, if it is not UTF-8."""
    found = _CHARSET.search((content_type or "")[:_MAX_TYPE_BYTES].lower())
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1]).name
    except LookupError:
        return None
    return name if name in _CHARSETS else None


_BLANKS = "\ufeff\0 \t\r\n\v\f"


def recover_event(body: bytes, content_type: str | None) -> bytes | None:
    """Return the recovered JSON text in UTF-8; None if there is nothing to recover.

    Removes a byte order mark, surrounding blanks, another charset, a surrounding JSON string and a
    list of one. Does not check whether the result is an event.
    """
    text = _decode(body, content_type)
    if text is None:
        return None
    text = text.strip(_BLANKS)
    if text.startswith('"'):
        text = _unquote(text).strip(_BLANKS)
    if text.startswith("[") and text.endswith("]"):
        # A list of several events stays invalid: without its brackets it is not JSON.
        text = text[1:-1]
    try:
        recovered = text.encode()
    except UnicodeEncodeError:
        return None
    return None if recovered == body else recovered


def _decode(body: bytes, content_type: str | None) -> str | None:
    named = supported_charset(content_type)
    for charset in (json.detect_encoding(body), named):
        if charset is None:
            continue
        try:
            return body.decode(charset)
        except UnicodeDecodeError:
            continue
    return None


def _unquote(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
