"""Copies of a payload, each an event of its own.

The gateway knows an event by ids in it (the call's, the tool calls') and by its time. A template
is the payload cut at those places, so that a copy is a few joins and no JSON is written again.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

TIME_SLOT = -1

#: A shorter id is replaced only as a whole word: it may be part of any word.
_SHORTEST_ID_INSIDE_TEXT = 8
_ID_PATHS = (
    ("call", "id"),
    ("chat", "id"),
    ("session", "id"),
    ("campaignId",),
    ("contact", "id"),
)
_TOOL_CALL_LISTS = ("toolCalls", "toolCallList", "toolWithToolCallList")


class NotJsonObjectError(ValueError):
    """The payload is not a JSON object, so it has no ids to replace."""


@dataclass(frozen=True, slots=True)
class Template:
    """`pieces[i]` is followed by the value of `slots[i]`; the last piece by nothing."""

    pieces: tuple[bytes, ...]
    slots: tuple[int, ...]

    def copy(self, number: int, *, run: str, start_ms: int) -> bytes:
        """Copy `number` of a run. `run` is 16 hex digits; another run makes other events.

        Its time is `start_ms` plus a millisecond for each copy before it.
        """
        parts = [self.pieces[0]]
        for slot, piece in zip(self.slots, self.pieces[1:], strict=True):
            is_time = slot == TIME_SLOT
            value = str(start_ms + number) if is_time else copy_id(number, slot, run)
            parts += (value.encode(), piece)
        return b"".join(parts)


def copy_id(number: int, slot: int, run: str) -> str:
    """The id, shaped like a UUID, that replaces the payload's id number `slot`."""
    return f"{run[:8]}-{run[8:12]}-4{run[12:15]}-8{slot % 4096:03x}-{number:012x}"


def template_of(payload: bytes) -> Template:
    """Cut a payload at the parts that differ between copies. Raises NotJsonObjectError.

    An id is replaced everywhere in values. A payload without ids gets one, under an unused name.
    """
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise NotJsonObjectError from exc
    if not isinstance(document, dict):
        raise NotJsonObjectError
    message = document.get("message")
    message = message if isinstance(message, dict) else document
    mark = hashlib.sha256(payload).hexdigest()[:16]
    marks = {text: f"<{mark}:{slot}>" for slot, text in enumerate(dict.fromkeys(_ids_in(message)))}
    if not marks:
        message["ringbackCopy"] = f"<{mark}:0>"
    message["timestamp"] = f"<{mark}:{TIME_SLOT}>"
    marked = orjson.dumps(_marked(document, marks))
    # The time is a number, so the quotes around its mark are removed.
    cuts = re.split(rf'"<{mark}:{TIME_SLOT}>"|<{mark}:(\d+)>'.encode(), marked)
    slots = tuple(TIME_SLOT if slot is None else int(slot) for slot in cuts[1::2])
    return Template(tuple(cuts[0::2]), slots)


def _ids_in(message: dict[str, Any]) -> Iterator[str]:
    for path in _ID_PATHS:
        value: Any = message
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        yield from _if_text(value)
    for name in _TOOL_CALL_LISTS:
        items = message.get(name)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                call = item.get("toolCall")
                yield from _if_text(call.get("id") if isinstance(call, dict) else item.get("id"))


def _if_text(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value


def _marked(value: Any, marks: dict[str, str]) -> Any:
    match value:
        case dict():
            return {name: _marked(member, marks) for name, member in value.items()}
        case list():
            return [_marked(item, marks) for item in value]
        case str():
            return _marked_text(value, marks)
        case _:
            return value


def _marked_text(text: str, marks: dict[str, str]) -> str:
    if text in marks:
        return marks[text]
    for old, mark in marks.items():
        if len(old) >= _SHORTEST_ID_INSIDE_TEXT and old in text:
            text = text.replace(old, mark)
    return text
