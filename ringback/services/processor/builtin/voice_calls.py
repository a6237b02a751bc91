"""The built-in handler: keeps one row per call in `voice_calls`. Pure; it only reads the event.

Each value goes to the database with a rank, which is higher the more its source is trusted. The
function `merge_voice_calls` keeps the value of the highest rank, so events may come in any order.
docs/voice-calls.md describes the columns, their places and the ranks.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import asyncpg

from ringback.contract.event import value_at
from ringback.contract.json_text import sanitize_text
from ringback.contract.loose_values import EARLIEST, number_of, time_of
from ringback.handlers import Event
from ringback.runtime.postgres.queries import load
from ringback.services.processor.attempt.result import CallUpdate

_MAX_SHORT_TEXT = 500


def text_of(value: Any) -> str | None:
    """A text of any length that is not empty."""
    return sanitize_text(value) if isinstance(value, str) and value else None


def short_text_of(value: Any) -> str | None:
    """A text of at most 500 characters, such as a status, a reason or an id."""
    text = text_of(value)
    return text if text is not None and len(text) <= _MAX_SHORT_TEXT else None


def address_of(value: Any) -> str | None:
    """A telephone number or a SIP address. Some senders write a telephone number as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**20:
        return str(value)
    return short_text_of(value)


REPORT = "end-of-call-report"
STATUS_UPDATE = "status-update"

_MAX_CALL_S = 7 * 24 * 3600.0
_MAX_COST = 1e6
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
        "call_type": Reading(_first(short_text_of, message, "call.type")),
        "status": Reading("ended" if event.type == REPORT else _status(event)),
        "started_at": started_at,
        "ended_at": ended_at,
        "ended_reason": Reading(_first(short_text_of, message, "endedReason", "call.endedReason")),
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
            _first(short_text_of, message, "call.assistantId", "assistant.id", "call.assistant.id")
        ),
        "phone_number_id": Reading(
            _first(
                short_text_of,
                message,
                "call.phoneNumberId",
                "phoneNumber.id",
                "call.phoneNumber.id",
            )
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
    return short_text_of(event.message.get("status")) if event.type == STATUS_UPDATE else None


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
        number = number_of(message.get(name), maximum=_MAX_CALL_S / seconds)
        if number is not None:
            return Reading(round(number * seconds, 6))
    between = None
    if isinstance(started_at.value, datetime) and isinstance(ended_at.value, datetime):
        between = (ended_at.value - started_at.value).total_seconds()
    return Reading(number_of(between, maximum=_MAX_CALL_S), derived=True)


def _cost(message: Message) -> float | None:
    def read(value: Any) -> float | None:
        return number_of(value, maximum=_MAX_COST)

    stated = _first(read, message, "cost", "costBreakdown.total")
    if stated is not None:
        return stated
    costs = message.get("costs")
    parts = [read(value_at(part, "cost")) for part in costs] if isinstance(costs, list) else []
    known = [part for part in parts if part is not None]
    if known:
        return math.fsum(known)
    # A snapshot from before the call's end contains 0, which is not its cost.
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


_TRUST = {REPORT: 3, STATUS_UPDATE: 2}
_TRUST_IN_OTHERS = 1
_PROGRESS = {
    "scheduled": 2,
    "queued": 3,
    "ringing": 4,
    # A forwarded call may come back, so of these two the later one counts.
    "in-progress": 5,
    "forwarding": 5,
    "ended": 6,
}
_UNKNOWN_PROGRESS = 1

_TIME_BITS, _DELAY_BITS = 42, 18
_TIME_UNIT, _DELAY_UNIT = timedelta(milliseconds=1), timedelta(milliseconds=100)


def call_update_of(event: Event) -> CallUpdate | None:
    """The values that an event gives its call; None for an event without a call.

    A second report of a call is a duplicate. If it differs from the first one, its values are
    merged, but it is not counted as an event.
    """
    if event.call_id is None:
        return None
    happened_at = time_of(event.message.get("timestamp"), event.received_at) or event.received_at
    columns = columns_of(event)
    return {
        "delivery_id": event.job_id,
        "org_id": event.org_id,
        "call_id": event.call_id,
        **{name: reading.value for name, reading in columns.items()},
        "ranks": _ranks(event, happened_at, columns),
        "happened_at": happened_at,
    }


def _ranks(event: Event, happened_at: datetime, columns: dict[str, Reading]) -> list[int]:
    """The rank of each column's value; 0 for no value.

    From the highest bits to the lowest: the trust in the source, the time of the event in
    milliseconds, and by how many tenths of a second later the gateway received it, up to 7 hours.
    """
    trust = _TRUST.get(event.type, _TRUST_IN_OTHERS)
    happened = _within((happened_at - EARLIEST) // _TIME_UNIT, _TIME_BITS)
    delay = _within((event.received_at - happened_at) // _DELAY_UNIT, _DELAY_BITS)
    within = happened << _DELAY_BITS | delay
    ranks = []
    for name, reading in columns.items():
        if name == "status":
            highest = _PROGRESS.get(str(reading.value), _UNKNOWN_PROGRESS)
        else:
            highest = 2 * trust + (not reading.derived)
        ranks.append(0 if reading.value is None else highest << _TIME_BITS + _DELAY_BITS | within)
    return ranks


def _within(number: int, bits: int) -> int:
    return min(max(number, 0), (1 << bits) - 1)


async def check(pool: asyncpg.Pool) -> None:
    """Raise what writing a call would raise, without a call."""
    await pool.execute(load("ringback.services.processor.builtin", "check_voice_calls.sql"))
