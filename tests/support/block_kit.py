"""What Slack refuses of a message, by its documentation of Block Kit and of mrkdwn."""

import re
from collections.abc import Iterator
from typing import Any

_LINK = re.compile(r"<(https?://[^<>|\s]+\|[A-Za-z]+|!date\^\d+\^[^<>|]+\|[^<>|]+)>")


def refusal(message: dict[str, Any]) -> str | None:
    """The word with which Slack would refuse it, or None for a message that it takes."""
    if not message.get("text"):
        return "no_text"
    blocks = message.get("blocks", [])
    if len(blocks) > 50 or not all(map(_is_good, blocks)):
        return "invalid_blocks"
    return None


def texts(message: dict[str, Any]) -> list[str]:
    """All that people read, as it was sent."""
    return [message["text"], *_texts_in(message["blocks"])]


def unexpected_markup(text: str) -> list[str]:
    """Text that Slack would read as a mention, link or entity, but that we did not write."""
    rest = _LINK.sub("", text)
    return re.findall(r"[<>]|&(?!amp;|lt;|gt;)", rest)


def _is_good(block: dict[str, Any]) -> bool:
    match block:
        case {"type": "section", "text": text}:
            return _is_text(text, 3_000)
        case {"type": "section", "fields": fields}:
            return 1 <= len(fields) <= 10 and all(_is_text(field, 2_000) for field in fields)
        case {"type": "context", "elements": elements}:
            return 1 <= len(elements) <= 10 and all(_is_text(one, 3_000) for one in elements)
    return False


def _is_text(found: dict[str, Any], most: int) -> bool:
    return found["type"] == "mrkdwn" and 1 <= len(found["text"]) <= most


def _texts_in(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        if found.get("type") == "mrkdwn":
            yield found["text"]
        for value in found.values():
            yield from _texts_in(value)
    elif isinstance(found, list):
        for value in found:
            yield from _texts_in(value)
