"""The few things of a body that accepting it needs: its type, its call, and what makes it the same.

Building a whole report as objects takes a third of the time that a webhook costs the gateway. A
decoder of the parts that keys are made of checks the grammar of everything and keeps only those, in
a tenth of that time. What such a glance cannot tell, a full reading does.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ringback.contract.event import LONGEST_TYPE_BYTES, Unreadable, call_id_in, read_event
from ringback.contract.json_text import keepable
from services.gateway.dedup_key import NeedsHashError, dedup_key, key_of_parts
from services.gateway.json_shape import has_too_many_values, is_deep

_HASH = re.compile(r"\|[0-9a-f]{64}")
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{2}")
_LONGEST_FLOAT = 100
_NUL = b"\\u0000"
_NEEDS_WHOLE = frozenset(
    {
        "conversation-update",
        "handoff-destination-request",
        "knowledge-base-request",
        "transfer-destination-request",
    }
)
"""Types whose key holds a hash of long parts."""


class _Parts(msgspec.Struct, rename="camel"):
    """What keys are made of, whatever it is. A part that is absent is UNSET."""

    type: Any = msgspec.UNSET
    call: Any = msgspec.UNSET
    timestamp: Any = msgspec.UNSET
    status: Any = msgspec.UNSET
    role: Any = msgspec.UNSET
    turn: Any = msgspec.UNSET
    turn_id: Any = msgspec.UNSET
    transcript_type: Any = msgspec.UNSET
    transcript: Any = msgspec.UNSET
    tool_call_list: Any = msgspec.UNSET
    tool_calls: Any = msgspec.UNSET
    tool_with_tool_call_list: Any = msgspec.UNSET
    language: Any = msgspec.UNSET
    source: Any = msgspec.UNSET
    text: Any = msgspec.UNSET
    timing: Any = msgspec.UNSET
    request: Any = msgspec.UNSET
    destination: Any = msgspec.UNSET
    new_assistant: Any = msgspec.UNSET
    function_call: Any = msgspec.UNSET
    artifacts: Any = msgspec.UNSET
    campaign_id: Any = msgspec.UNSET
    contact: Any = msgspec.UNSET
    chat: Any = msgspec.UNSET
    session: Any = msgspec.UNSET


class _Body(_Parts, rename="camel"):
    message: _Parts | msgspec.UnsetType = msgspec.UNSET


def _float(literal: str) -> float:
    """As a full reading has it, which replaces some numbers by their text."""
    if len(literal) > _LONGEST_FLOAT or _EXPONENT.search(literal):
        raise ValueError(literal)
    return float(literal)


_DECODE = msgspec.json.Decoder(_Body, float_hook=_float).decode
_NAMES = tuple(zip(_Parts.__struct_fields__, _Parts.__struct_encode_fields__, strict=True))


@dataclass(frozen=True, slots=True)
class Head:
    type: str
    call_id: str | None
    dedup_key: str | None


def read_head(body: bytes) -> Head | Unreadable:
    """Read what `ringback.contract.event.read_event` would say of the body, or its refusal.

    Except that more values than any event has are refused: to read them takes too much.
    """
    if has_too_many_values(body):
        return Unreadable.TOO_MANY_VALUES
    glimpsed = _glimpse(body)
    if glimpsed is not None:
        return glimpsed
    event = read_event(body)
    if isinstance(event, Unreadable):
        return event
    return Head(event.type, event.call_id, dedup_key(event.type, event.message))


def _glimpse(body: bytes) -> Head | None:
    """The head, where the parts alone tell it with certainty; else None."""
    try:
        decoded = _DECODE(body)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    parts = decoded.message if isinstance(decoded.message, _Parts) else decoded
    event_type = parts.type
    if not isinstance(event_type, str) or not _is_plain(event_type) or is_deep(body):
        return None
    if parts is decoded and decoded.message is not msgspec.UNSET:
        return None
    message = {
        name: value
        for field, name in _NAMES
        if (value := getattr(parts, field)) is not msgspec.UNSET
    }
    try:
        key = key_of_parts(event_type, message)
    except NeedsHashError:
        return None
    # A full reading replaces NUL, and a hash in the key must be of what stands there then.
    if key is not None and _HASH.search(key) and _NUL in body:
        return None
    return Head(event_type, call_id_in(message), key)


def _is_plain(event_type: str) -> bool:
    return (
        0 < len(event_type.encode()) <= LONGEST_TYPE_BYTES
        and keepable(event_type) == event_type
        and event_type not in _NEEDS_WHOLE
    )
