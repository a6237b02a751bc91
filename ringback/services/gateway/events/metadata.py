"""Parses the metadata of an event: its type, its call id and its dedup key.

Building all objects of a large report would take a third of the gateway's time per webhook. This
decoder checks the whole JSON text but keeps only the fields of dedup keys, in a tenth of that time.
If these fields are not enough, the whole body is parsed.
"""

import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec

from ringback.contract.event import MAX_TYPE_BYTES, InvalidEvent, call_id_in, read_event
from ringback.contract.json_text import sanitize_text
from ringback.services.gateway.events.dedup_key import NeedsHashError, dedup_key, key_from_parts

MAX_VALUES = 500_000
"""Far more than an event has: a report of a call of 90 minutes has 2 MB, and would need a value in
every four bytes. Parsing 8 MiB of `{},{},` would take 500 MB, and block other requests for seconds.
"""

MAX_DEPTH = 254

_FAST_LEVELS = 16
"""How many levels to remove before using the slower way, whose time does not depend on depth."""

_NOT_BRACES = bytes(set(range(256)) - set(b"[]{}"))
_NOT_STARTS = bytes(set(range(256)) - set(b"[{,"))
_STEPS = [
    {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}.get(byte, 0) for byte in range(256)
]
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def has_too_many_values(body: bytes) -> bool:
    """Whether there are too many values. Commas and braces within strings do not count."""
    if len(body) < MAX_VALUES or len(body.translate(None, _NOT_STARTS)) < MAX_VALUES:
        return False
    return len(_STRING.sub(b"", body).translate(None, _NOT_STARTS)) >= MAX_VALUES


def is_too_deep(body: bytes) -> bool:
    """Whether a JSON text is nested too deeply.

    Most bodies have too few braces for that. Otherwise removes pairs of braces from the inside,
    level by level. If many levels remain, removes strings and counts braces.
    """
    # `replace` skips from brace to brace, so it counts a few much faster than `count`.
    rests = (body.replace(brace, b"", MAX_DEPTH + 1) for brace in (b"{", b"["))
    if sum(len(body) - len(rest) for rest in rests) <= MAX_DEPTH:
        return False
    braces = body.translate(None, _NOT_BRACES)
    for _ in range(_FAST_LEVELS):
        braces = braces.replace(b"{}", b"").replace(b"[]", b"")
        if not braces:
            return False
    real = _STRING.sub(b"", body).translate(None, _NOT_BRACES)
    return max(accumulate(map(_STEPS.__getitem__, real)), default=0) > MAX_DEPTH


_HASH = re.compile(r"\|[0-9a-f]{64}")
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{2}")
_MAX_FLOAT_LENGTH = 100
_NUL = b"\\u0000"
_NEEDS_WHOLE = frozenset(
    {
        "conversation-update",
        "handoff-destination-request",
        "knowledge-base-request",
        "transfer-destination-request",
    }
)
"""Types whose key contains a hash of large fields."""


class _KeyFields(msgspec.Struct, rename="camel"):
    """The fields that keys consist of, of any type. An absent field is UNSET."""

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


class _Body(_KeyFields, rename="camel"):
    message: _KeyFields | msgspec.UnsetType = msgspec.UNSET


def _float(literal: str) -> float:
    """Parse a number as the full parser does; it replaces some numbers by their text."""
    if len(literal) > _MAX_FLOAT_LENGTH or _EXPONENT.search(literal):
        raise ValueError(literal)
    return float(literal)


_DECODE = msgspec.json.Decoder(_Body, float_hook=_float).decode
_NAMES = tuple(zip(_KeyFields.__struct_fields__, _KeyFields.__struct_encode_fields__, strict=True))


@dataclass(frozen=True, slots=True)
class EventMetadata:
    type: str
    call_id: str | None
    dedup_key: str | None

    def with_message_id(self, message_id: str | None) -> "EventMetadata":
        """The same with a key of the sender's id of the message, if there is one."""
        if message_id is None:
            return self
        return EventMetadata(self.type, self.call_id, f"message_id|{message_id}")


def parse_metadata(body: bytes) -> EventMetadata | InvalidEvent:
    """Return the metadata that `ringback.contract.event.read_event` would find, or its error.

    Unlike `read_event`, this rejects bodies with more values than any event has.
    """
    if has_too_many_values(body):
        return InvalidEvent.TOO_MANY_VALUES
    metadata = _parse_key_fields(body)
    if metadata is not None:
        return metadata
    event = read_event(body)
    if isinstance(event, InvalidEvent):
        return event
    return EventMetadata(event.type, event.call_id, dedup_key(event.type, event.message))


def _parse_key_fields(body: bytes) -> EventMetadata | None:
    """The metadata, if the key fields alone determine it; else None."""
    try:
        decoded = _DECODE(body)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    fields = decoded.message if isinstance(decoded.message, _KeyFields) else decoded
    event_type = fields.type
    if not isinstance(event_type, str) or not _is_plain(event_type) or is_too_deep(body):
        return None
    if fields is decoded and decoded.message is not msgspec.UNSET:
        return None
    message = {
        name: value
        for field, name in _NAMES
        if (value := getattr(fields, field)) is not msgspec.UNSET
    }
    try:
        key = key_from_parts(event_type, message)
    except NeedsHashError:
        return None
    # The full parser replaces NUL, and a hash in the key must be of the replaced text.
    if key is not None and _HASH.search(key) and _NUL in body:
        return None
    return EventMetadata(event_type, call_id_in(message), key)


def _is_plain(event_type: str) -> bool:
    return (
        0 < len(event_type.encode()) <= MAX_TYPE_BYTES
        and sanitize_text(event_type) == event_type
        and event_type not in _NEEDS_WHOLE
    )
