"""Payloads to send: samples or files, with new times and ids for each copy."""

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from ringback import samples
from ringback.cli.terminal import BadInputError
from ringback.contract.utc_time import utc_text


@dataclass(frozen=True, slots=True)
class Payload:
    name: str
    body: bytes
    is_sample: bool


def payload_of(what: str) -> Payload:
    """Read a sample or a file. Raises BadInputError, which lists the samples."""
    if what in samples.names():
        return Payload(what, samples.sample(what), is_sample=True)
    path = Path(what)
    if path.is_file():
        try:
            return Payload(path.name, path.read_bytes(), is_sample=False)
        except OSError as exc:
            raise BadInputError(f"The file {what} cannot be read: {exc.strerror}.") from exc
    if path.suffix or len(path.parts) > 1:
        raise BadInputError(f"The file {what} does not exist.")
    near = difflib.get_close_matches(what, samples.names(), n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise BadInputError(
        f"{what!r} is neither a sample nor a file.{guess}\nSamples: {', '.join(samples.names())}."
    )


_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
#: Numbers in this range, from 2014 to 2033, are times in milliseconds; no other number is so large.
_EPOCH_MS = range(1_400_000_000_000, 2_000_000_000_000)


def shift_timestamps(payload: bytes, by_ms: int) -> bytes:
    """Shift every time in a JSON payload by `by_ms`, so that an old call happens now."""
    return orjson.dumps(_shifted(orjson.loads(payload), by_ms))


def sent_at_ms(payload: bytes) -> int:
    """The time in `message.timestamp`, in milliseconds since 1970."""
    return int(orjson.loads(payload)["message"]["timestamp"])


def _shifted(value: Any, by_ms: int) -> Any:
    match value:
        case dict():
            return {name: _shifted(member, by_ms) for name, member in value.items()}
        case list():
            return [_shifted(item, by_ms) for item in value]
        case str() if _ISO_TIME.fullmatch(value):
            moment = datetime.fromisoformat(value) + timedelta(milliseconds=by_ms)
            return utc_text(moment, "milliseconds")
        case int() | float() if not isinstance(value, bool) and int(value) in _EPOCH_MS:
            return value + by_ms
        case _:
            return value


TIME_SLOT = -1

#: A shorter id is replaced only as a whole value, because it may be part of other words.
_MIN_ID_INSIDE_TEXT = 8
_ID_PATHS = (
    ("call", "id"),
    ("chat", "id"),
    ("session", "id"),
    ("campaignId",),
    ("contact", "id"),
)
_TOOL_CALL_LISTS = ("toolCalls", "toolCallList", "toolWithToolCallList")


class NotJsonObjectError(ValueError):
    """The payload is not a JSON object."""


@dataclass(frozen=True, slots=True)
class PayloadTemplate:
    """A payload, cut where copies differ: `pieces[i]` is followed by the value of `slots[i]`.

    Filling in the slots is cheaper than encoding JSON for each copy.
    """

    pieces: tuple[bytes, ...]
    slots: tuple[int, ...]

    def copy(self, number: int, *, run: str, start_ms: int) -> bytes:
        """Copy `number` of a run, at `start_ms` plus `number` milliseconds.

        `run` is 16 hex digits; copies of different runs are different events.
        """
        parts = [self.pieces[0]]
        for slot, piece in zip(self.slots, self.pieces[1:], strict=True):
            is_time = slot == TIME_SLOT
            value = str(start_ms + number) if is_time else copy_id(number, slot, run)
            parts += (value.encode(), piece)
        return b"".join(parts)


def copy_id(number: int, slot: int, run: str) -> str:
    """The UUID-shaped id that replaces the payload's id number `slot`."""
    return f"{run[:8]}-{run[8:12]}-4{run[12:15]}-8{slot % 4096:03x}-{number:012x}"


def template_of(payload: bytes) -> PayloadTemplate:
    """Cut a payload at its ids and its time. Raises NotJsonObjectError.

    The gateway recognises an event by its ids (of the call, the tool calls, ...) and its time. An
    id is replaced in all values. A payload without ids gets one, as `ringbackCopy`.
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
    # The time is a number, so the quotes around its mark go, too.
    cuts = re.split(rf'"<{mark}:{TIME_SLOT}>"|<{mark}:(\d+)>'.encode(), marked)
    slots = tuple(TIME_SLOT if slot is None else int(slot) for slot in cuts[1::2])
    return PayloadTemplate(tuple(cuts[0::2]), slots)


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
        if len(old) >= _MIN_ID_INSIDE_TEXT and old in text:
            text = text.replace(old, mark)
    return text
