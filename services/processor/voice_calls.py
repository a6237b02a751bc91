"""The built-in handler: keeps one row per call in `voice_calls`. Pure; it only reads the event."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ringback.contract.json_text import keepable
from ringback.handlers import Event
from ringback.runtime.queries import load
from services.processor.outcome import Effect

_LONGEST_WORD = 500
_LATEST_EPOCH_MS = 4_102_444_800_000  # the year 2100; beyond it a number is no time of a call
_REPORT = "end-of-call-report"


def effects_of(event: Event) -> tuple[Effect, ...]:
    """The change that an event makes to its call; none for an event of no call.

    The platform's `call` object is a snapshot from the call's creation, so what changes during a
    call is read from the message itself. Any value may be missing, null or of a wrong type.
    """
    if event.call_id is None:
        return ()
    message = event.message
    call, customer = _object(message, "call"), _object(message, "customer")
    happened_at = _time(message.get("timestamp")) or event.received_at
    is_report = event.type == _REPORT
    arguments = (
        event.org_id,
        event.call_id,
        _word(call.get("type")),
        "ended" if is_report else _status(event),
        _time(message.get("startedAt")),
        _time(message.get("endedAt")),
        _word(message.get("endedReason")),
        _number(message.get("durationSeconds")),
        _number(message.get("cost")) if is_report else None,
        _word(customer.get("number")) or _word(_object(call, "customer").get("number")),
        _word(call.get("assistantId")) or _word(_object(message, "assistant").get("id")),
        _word(call.get("phoneNumberId")) or _word(_object(message, "phoneNumber").get("id")),
        _text(message.get("summary")) or _text(_object(message, "analysis").get("summary")),
        _text(message.get("transcript")) if is_report else None,
        happened_at,
    )
    order = (str(event.org_id), event.call_id)
    return (Effect(load("services.processor", "merge_voice_call.sql"), arguments, order),)


def _status(event: Event) -> str | None:
    return _word(event.message.get("status")) if event.type == "status-update" else None


def _object(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return keepable(value) if isinstance(value, str) and value else None


def _word(value: Any) -> str | None:
    text = _text(value)
    return text if text is not None and len(text) <= _LONGEST_WORD else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _time(value: Any) -> datetime | None:
    """A time as the platform writes it: epoch milliseconds, or ISO 8601."""
    if isinstance(value, str):
        return _iso_time(value)
    number = _number(value)
    if number is None or not 0 < number < _LATEST_EPOCH_MS:
        return None
    return datetime.fromtimestamp(number / 1000, UTC)


def _iso_time(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
