"""Keeps the last readings of the queues and the log, for the queue health. No I/O."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ringback.contract.status import WaitReason
from ringback.contract.topology import (
    ATTEMPT_QUEUES,
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_QUEUE,
    WORK_QUEUE,
)
from ringback.services.metrics.polling.freshness_cache import Clock
from ringback.services.metrics.polling.queue_depths import QueueDepth
from ringback.services.metrics.polling.recent_rates import LastDay, Rates, RecentRates
from ringback.services.metrics.transport.errors import Reason, unavailable

_REQUIRED = frozenset({*ATTEMPT_QUEUES, DEAD_LETTER_QUEUE})


@dataclass(frozen=True, slots=True)
class Processing:
    """Whether processors may consume, since when, by whom and why; and which processors run."""

    paused: bool
    changed_at: datetime | None
    changed_by: str | None
    reason: str | None
    processors: int
    processors_paused: int
    #: Webhooks in flight in all processors.
    in_flight: int


@dataclass(frozen=True, slots=True)
class WaitCount:
    """Webhooks that wait in the database for one reason; `overdue_s` is of the oldest of them."""

    count: int
    overdue_s: float


Waits = Mapping[WaitReason, WaitCount]


@dataclass(frozen=True, slots=True)
class Oldest:
    """The ages of the oldest pending webhook and of the oldest failed one; 0 if there is none."""

    pending_s: float
    failed_s: float


class SourceName(StrEnum):
    BROKER = "broker"
    DATABASE = "database"
    MANAGEMENT_API = "management_api"


@dataclass(frozen=True, slots=True)
class Source:
    """`read_at`: when the oldest of its readings was made; None if one is missing."""

    name: SourceName
    ok: bool
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueState:
    """`read_at`: when its oldest part was read. `unresolved`: dead letters in the log.

    What a source without `read_at` would provide is empty, 0 or None.
    """

    queues: Mapping[str, QueueDepth]
    processing: Processing
    last_day: LastDay
    unresolved: int
    waits: Waits
    read_at: datetime | None
    sources: Mapping[SourceName, Source]
    unacked: Mapping[str, int]
    rates: Rates | None
    oldest: Oldest | None

    def is_ok(self, *names: SourceName) -> bool:
        """Whether the readings of these sources are recent."""
        return all(self.sources[name].ok for name in names)

    def was_read(self, *names: SourceName) -> bool:
        return all(self.sources[name].read_at is not None for name in names)

    @property
    def waiting(self) -> int:
        """Messages that are ready for a processor."""
        return sum(self._depth(name).messages for name in ATTEMPT_QUEUES)

    @property
    def active(self) -> int:
        return self.processing.in_flight

    @property
    def delayed(self) -> int:
        """Webhooks that wait in the retry queues, in `webhooks.requeued` or in the database."""
        queued = (each.messages for name, each in self.queues.items() if name not in _REQUIRED)
        return sum(queued) + sum(wait.count for wait in self.waits.values())

    @property
    def overdue_s(self) -> float:
        """By how much the oldest wait is overdue, of those that no destination may delay."""
        waits = self.waits.items()
        return max((one.overdue_s for reason, one in waits if reason not in PACED), default=0.0)

    @property
    def dead_letters(self) -> int:
        """Unresolved dead letters, and those that wait to be recorded."""
        return self.unresolved + self._depth(DEAD_LETTER_QUEUE).messages

    @property
    def consumers(self) -> int:
        return min(self._depth(name).consumers for name in (WORK_QUEUE, BULK_QUEUE, DUE_QUEUE))

    @property
    def failure_ratio(self) -> float:
        """Of the last 24 hours; 0 if no webhook has finished."""
        finished = self.last_day.completed + self.last_day.failed
        return self.last_day.failed / finished if finished else 0.0

    def _depth(self, name: str) -> QueueDepth:
        return self.queues.get(name, _NO_DEPTH)


_NO_DEPTH = QueueDepth(messages=0, consumers=0)
_NO_PROCESSING = Processing(
    paused=False,
    changed_at=None,
    changed_by=None,
    reason=None,
    processors=0,
    processors_paused=0,
    in_flight=0,
)
_EMPTY_DAY = LastDay(
    completed=0,
    failed=0,
    dead_letters=0,
    attempts=0,
    accepted=0,
    counted_from=datetime.min.replace(tzinfo=UTC),
)

PACED = frozenset({WaitReason.DESTINATION})
"""Waits that a breaker or the pace of a destination may delay."""

MAX_AGE_S = 10.0
"""For values that are read every second."""

_QUEUES, _LOG, _UNRESOLVED, _WAITS = "queues", "log", "unresolved", "waits"
_AGES, _UNACKED = "ages", "unacked"
_READINGS = {
    SourceName.BROKER: (_QUEUES,),
    SourceName.DATABASE: (_LOG, _UNRESOLVED, _WAITS),
    SourceName.MANAGEMENT_API: (_UNACKED,),
}
REQUIRED_SOURCES = (SourceName.BROKER, SourceName.DATABASE)


@dataclass(frozen=True, slots=True)
class _Reading:
    value: Any
    read_at: datetime
    put_s: float


class QueueSnapshot:
    """The last readings of the queues and the log, in memory, so that calls need not wait.

    `count_max_age_s`: what is not read every second may be this old, such as the counts of dead
    letters and waits.
    """

    def __init__(
        self,
        *,
        count_max_age_s: float,
        max_age_s: float = MAX_AGE_S,
        has_management_api: bool = False,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._clock = clock
        self._count_max_age_s = count_max_age_s
        self._max_ages_s = {_QUEUES: max_age_s, _LOG: max_age_s}
        self._sources = tuple(
            name for name in SourceName if name in REQUIRED_SOURCES or has_management_api
        )
        self._readings: dict[str, _Reading] = {}
        self._rates = RecentRates()

    def queues_read(self, queues: Mapping[str, QueueDepth]) -> None:
        """A retry queue may be absent while the schedule changes; the other queues are required."""
        if queues.keys() >= _REQUIRED:
            self._put(_QUEUES, queues)

    def log_read(self, processing: Processing, last_day: LastDay) -> None:
        self._put(_LOG, (processing, last_day))
        self._rates.add(last_day, self._clock())

    def dead_letters_counted(self, unresolved: int) -> None:
        self._put(_UNRESOLVED, unresolved)

    def waits_counted(self, waits: Waits) -> None:
        self._put(_WAITS, waits)

    def ages_read(self, oldest: Oldest) -> None:
        self._put(_AGES, oldest)

    def unacked_read(self, unacked: Mapping[str, int]) -> None:
        self._put(_UNACKED, unacked)

    def state(self, *, allow_stale: bool = False) -> QueueState:
        """The state, with old or missing parts if `allow_stale`.

        Else raises ApiError UNAVAILABLE, which names the part that has no recent reading.
        """
        sources = {name: self._source(name) for name in self._sources}
        if not allow_stale:
            _require(sources)
        processing, last_day = self._last(_LOG, (_NO_PROCESSING, _EMPTY_DAY))
        required = [part for name in REQUIRED_SOURCES for part in _READINGS[name]]
        return QueueState(
            queues=self._last(_QUEUES, {}),
            processing=processing,
            last_day=last_day,
            unresolved=self._last(_UNRESOLVED, 0),
            waits=self._last(_WAITS, {}),
            read_at=min(
                (self._readings[part].read_at for part in required if part in self._readings),
                default=None,
            ),
            sources=sources,
            unacked=self._last(_UNACKED, {}) if self._is_fresh(_UNACKED) else {},
            rates=self._rates.rates(),
            oldest=self._last(_AGES, None) if allow_stale or self._is_fresh(_AGES) else None,
        )

    def _put(self, part: str, value: object) -> None:
        self._readings[part] = _Reading(value, self._now(), self._clock())

    def _last(self, part: str, default: Any) -> Any:
        reading = self._readings.get(part)
        return default if reading is None else reading.value

    def _is_fresh(self, part: str) -> bool:
        reading = self._readings.get(part)
        max_age_s = self._max_ages_s.get(part, self._count_max_age_s)
        return reading is not None and self._clock() - reading.put_s <= max_age_s

    def _source(self, name: SourceName) -> Source:
        parts = _READINGS[name]
        read_at = None
        if self._readings.keys() >= set(parts):
            read_at = min(self._readings[part].read_at for part in parts)
        return Source(name, all(self._is_fresh(part) for part in parts), read_at)


def _require(sources: Mapping[SourceName, Source]) -> None:
    if not sources[SourceName.BROKER].ok:
        raise unavailable(
            Reason.BROKER_UNAVAILABLE, "Queue depths are stale: no recent answer from the broker."
        )
    if not sources[SourceName.DATABASE].ok:
        raise unavailable(
            Reason.DATABASE_UNAVAILABLE, "Counts are stale: no recent answer from the database."
        )
