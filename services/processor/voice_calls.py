"""The built-in handler: keeps one row per call in `voice_calls`. Pure; it only reads the event.

Each value goes to the database with a rank, which is higher the more its source is trusted. The
statement keeps the value of the highest rank, so events may come in any order.
docs/voice-calls.md describes the columns, their places and the ranks.
"""

from datetime import UTC, datetime, timedelta

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event
from ringback.runtime.postgres.queries import load
from services.processor.call_columns import (
    REPORT,
    STATUS_UPDATE,
    Reading,
    columns_of,
    ends_call,
)
from services.processor.event_values import time_of
from services.processor.outcome import Effect

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
_FIRST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_TIME_UNIT, _DELAY_UNIT = timedelta(milliseconds=1), timedelta(milliseconds=100)


def effects_of(event: Event) -> tuple[Effect, ...]:
    """The change that an event makes to its call; empty for an event without a call.

    A second report of a call is a duplicate. If it differs from the first one, its values are
    merged, but it is not counted as an event.
    """
    if event.call_id is None:
        return ()
    stated_time = time_of(event.message.get("timestamp"), event.received_at)
    columns = columns_of(event)
    arguments = (
        event.org_id,
        event.call_id,
        *(reading.value for reading in columns.values()),
        _ranks(event, stated_time or event.received_at, columns),
        event.received_at,
    )
    statement = load("services.processor", "merge_voice_call.sql")
    order = (str(event.org_id), event.call_id)
    merge = Effect(statement, (*arguments, 1, stated_time or event.received_at), order)
    if not ends_call(event.type, event.message):
        return (merge,)
    again = Effect(statement, (*arguments, 0, stated_time), order, AttemptOutcome.DUPLICATE)
    return (merge, again)


def _ranks(event: Event, happened_at: datetime, columns: dict[str, Reading]) -> list[int]:
    """The rank of each column's value; 0 for no value.

    From the highest bits to the lowest: the trust in the source, the time of the event in
    milliseconds, and by how many tenths of a second later the gateway received it, up to 7 hours.
    """
    trust = _TRUST.get(event.type, _TRUST_IN_OTHERS)
    happened = _within((happened_at - _FIRST_TIME) // _TIME_UNIT, _TIME_BITS)
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
