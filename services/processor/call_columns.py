"""Reads the columns of a call's row from one event, from every place that Vapi documents."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from ringback.contract.event import value_at
from ringback.handlers import Event
from services.processor.event_values import (
    address_of,
    number_of,
    text_of,
    time_of,
    word_of,
)

REPORT = "end-of-call-report"
STATUS_UPDATE = "status-update"

_LONGEST_CALL_S = 7 * 24 * 3600.0
_HIGHEST_COST = 1e6
_SPEAKERS = {"assistant": "AI", "bot": "AI", "user": "User"}

Message = Mapping[str, Any]
Value = str | float | datetime | None
T = TypeVar("T")


class Reading(NamedTuple):
    """A column's value. It is `derived` if the event states something else that implies it."""

    value: Value
    derived: bool = False


def ends_call(event_type: str, message: Message) -> bool:
    """Whether an event is sent once, after its call ended: a second one may contain more."""
    return event_type == REPORT or (
        event_type == STATUS_UPDATE and message.get("status") == "ended"
    )


def columns_of(event: Event) -> dict[str, Reading]:
    """The columns that an event gives for its call. The first of several places is trusted most.

    The `call` object is often a snapshot from the call's creation, so the message itself comes
    before it. Costs and transcripts are read from the events in which they are final.
    """
    message = event.message
    started_at, ended_at = _started_at(event), _ended_at(event)
    return {
        "call_type": Reading(_first(word_of, message, "call.type")),
        "status": Reading("ended" if event.type == REPORT else _status(event)),
        "started_at": started_at,
        "ended_at": ended_at,
        "ended_reason": Reading(_first(word_of, message, "endedReason", "call.endedReason")),
        "duration_seconds": _duration(message, started_at, ended_at),
        "cost": Reading(_cost(message) if ends_call(event.type, message) else None),
        "customer_number": Reading(
            _first(
                address_of,
                message,
                "customer.number",
                "customer.sipUri",
                "call.customer.number",
                "call.customer.sipUri",
            )
        ),
        "assistant_id": Reading(
            _first(word_of, message, "call.assistantId", "assistant.id", "call.assistant.id")
        ),
        "phone_number_id": Reading(
            _first(word_of, message, "call.phoneNumberId", "phoneNumber.id", "call.phoneNumber.id")
        ),
        "summary": Reading(
            _first(text_of, message, "analysis.summary", "summary", "call.analysis.summary")
        ),
        "transcript": _transcript(event),
    }


def _first(read: Callable[[Any], T | None], message: Message, *paths: str) -> T | None:
    """The value of the first of these places that has one."""
    for path in paths:
        value = read(value_at(message, path))
        if value is not None:
            return value
    return None


def _status(event: Event) -> str | None:
    return word_of(event.message.get("status")) if event.type == STATUS_UPDATE else None


def _started_at(event: Event) -> Reading:
    return _time(event, "startedAt", "in-progress")


def _ended_at(event: Event) -> Reading:
    return _time(event, "endedAt", "ended")


def _time(event: Event, name: str, status: str) -> Reading:
    """A stated time, or that of the status update that reports the change."""

    def read(value: Any) -> datetime | None:
        return time_of(value, event.received_at)

    stated = _first(read, event.message, name, f"call.{name}")
    if stated is not None or _status(event) != status:
        return Reading(stated)
    return Reading(read(event.message.get("timestamp")), derived=True)


def _duration(message: Message, started_at: Reading, ended_at: Reading) -> Reading:
    for name, seconds in (("durationSeconds", 1), ("durationMs", 0.001), ("durationMinutes", 60)):
        number = number_of(message.get(name), most=_LONGEST_CALL_S / seconds)
        if number is not None:
            return Reading(round(number * seconds, 6))
    between = None
    if isinstance(started_at.value, datetime) and isinstance(ended_at.value, datetime):
        between = (ended_at.value - started_at.value).total_seconds()
    return Reading(number_of(between, most=_LONGEST_CALL_S), derived=True)


def _cost(message: Message) -> float | None:
    def read(value: Any) -> float | None:
        return number_of(value, most=_HIGHEST_COST)

    stated = _first(read, message, "cost", "costBreakdown.total")
    if stated is not None:
        return stated
    costs = message.get("costs")
    parts = [read(value_at(part, "cost")) for part in costs] if isinstance(costs, list) else []
    known = [part for part in parts if part is not None]
    if known:
        return math.fsum(known)
    # A snapshot contains 0, which nobody was charged.
    return _first(
        lambda value: read(value) or None, message, "call.cost", "call.costBreakdown.total"
    )


def _transcript(event: Event) -> Reading:
    if event.type not in {REPORT, STATUS_UPDATE}:
        return Reading(None)
    paths = ("artifact.transcript", "transcript", "call.artifact.transcript")
    stated = _first(text_of, event.message, *paths)
    if stated is not None:
        return Reading(stated)
    spoken = _first(
        _spoken,
        event.message,
        "artifact.messages",
        "messages",
        "artifact.messagesOpenAIFormatted",
        "messagesOpenAIFormatted",
        "call.artifact.messages",
        "call.messages",
    )
    return Reading(spoken, derived=True)


def _spoken(messages: Any) -> str | None:
    """The messages of a conversation in the form of Vapi's transcripts, one line each."""
    lines = []
    for message in messages if isinstance(messages, list) else ():
        role = value_at(message, "role")
        speaker = _SPEAKERS.get(role) if isinstance(role, str) else None
        text = text_of(value_at(message, "message")) or text_of(value_at(message, "content"))
        if speaker and text:
            lines.append(f"{speaker}: {text}\n")
    return "".join(lines) or None
