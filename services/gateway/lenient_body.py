"""Finds the event in a body that is not quite one: Vapi never sends a refused webhook again."""

import json

from services.gateway.content_type import charset_in

_BLANKS = "\ufeff\0 \t\r\n\v\f"


def as_event(body: bytes, content_type: str | None) -> bytes | None:
    """The JSON text in UTF-8 that such a body means; None where it means nothing else.

    Takes away a byte order mark and blanks around the text, another charset, a string around it,
    and a list around it. Whether the rest is an event is not checked here.
    """
    text = _text(body, content_type)
    if text is None:
        return None
    text = text.strip(_BLANKS)
    if text.startswith('"'):
        text = _quoted(text).strip(_BLANKS)
    if text.startswith("[") and text.endswith("]"):
        # A list of several stays none: without its brackets it is no JSON.
        text = text[1:-1]
    try:
        meant = text.encode()
    except UnicodeEncodeError:
        return None
    return None if meant == body else meant


def _text(body: bytes, content_type: str | None) -> str | None:
    named = charset_in(content_type)
    for charset in (json.detect_encoding(body), named):
        if charset is None:
            continue
        try:
            return body.decode(charset)
        except UnicodeDecodeError:
            continue
    return None


def _quoted(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
