"""The parts of an event that Ringback needs: its type and its call."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from ringback.contract.json_text import (
    JsonText,
    NotJsonError,
    TooDeepError,
    read_json,
    sanitize_text,
)

MAX_TYPE_BYTES = 255
"""The limit of an AMQP short string."""

_LONGEST_CALL_ID = 255


class InvalidEvent(StrEnum):
    """Why a body is not an event. The value is the message that the sender gets."""

    NOT_JSON = "The body is not a JSON document in UTF-8."
    TOO_DEEP = "The body is nested too deeply."
    TOO_MANY_VALUES = "The body contains too many values."
    NOT_AN_OBJECT = "The body is not a JSON object."
    NO_TYPE = "The body has no message.type."
    TYPE_NOT_TEXT = "message.type is not a string."
    TYPE_TOO_LONG = "message.type is longer than 255 bytes."


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a call, parsed from the bytes that arrived.

    `message` is the object that contains the type. `document` is the whole body.
    """

    type: str
    call_id: str | None
    message: dict[str, Any]
    document: JsonText


def read_event(body: bytes) -> Event | InvalidEvent:
    """Parse `{"message": {"type": …}}`, or the older `{"type": …}`.

    Unknown types are events too.
    """
    try:
        document = read_json(body)
    except NotJsonError:
        return InvalidEvent.NOT_JSON
    except TooDeepError:
        return InvalidEvent.TOO_DEEP
    if not isinstance(document.value, dict):
        return InvalidEvent.NOT_AN_OBJECT
    message = message_in(document.value)
    event_type = _type_in(message)
    if isinstance(event_type, InvalidEvent):
        return event_type
    return Event(event_type, call_id_in(message), message, document)


def call_id_in(message: dict[str, Any]) -> str | None:
    """The call id of a message; None if there is no valid one."""
    call = message.get("call")
    call_id = call.get("id") if isinstance(call, dict) else None
    if not isinstance(call_id, str) or not 0 < len(call_id) <= _LONGEST_CALL_ID:
        return None
    return sanitize_text(call_id)


def value_at(message: Mapping[str, Any], path: str) -> Any:
    """The value at a path such as `call.customer.number`, or None."""
    value: Any = message
    for name in _names_in(path):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


@cache
def _names_in(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def message_in(document: dict[str, Any]) -> dict[str, Any]:
    """The object in a body that contains the type."""
    message = document.get("message")
    return message if isinstance(message, dict) and "type" in message else document


def _type_in(message: dict[str, Any]) -> str | InvalidEvent:
    match message.get("type"):
        case None | "":
            return InvalidEvent.NO_TYPE
        case str() as event_type:
            kept = sanitize_text(event_type)
            is_short = len(kept.encode()) <= MAX_TYPE_BYTES
            return kept if is_short else InvalidEvent.TYPE_TOO_LONG
        case _:
            return InvalidEvent.TYPE_NOT_TEXT
