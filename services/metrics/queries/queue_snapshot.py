"""Keeps the last readings of the queues and the log, for the queue health. No I/O."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ringback.contract.topology import ATTEMPT_QUEUES, DEAD_LETTER_QUEUE, DUE_QUEUE, WORK_QUEUE
from services.metrics.polling.freshness_cache import Clock, FreshnessCache
from services.metrics.polling.queue_depths import QueueDepth
from services.metrics.transport.errors import unavailable

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
    #: Webhooks in flight in all of them; each has at most its prefetch.
    in_flight: int


@dataclass(frozen=True, slots=True)
class LastDay:
    """Webhooks that were created in the last 24 hours. `failed` is with dead letters."""

    completed: int
    failed: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """`read_at`: when the oldest of it was read. `unresolved`: dead letters in the log."""

    queues: Mapping[str, QueueDepth]
    processing: Processing
    last_day: LastDay
    unresolved: int
    read_at: datetime

    @property
    def waiting(self) -> int:
        """Ready for a processor."""
        return sum(self.queues[name].messages for name in ATTEMPT_QUEUES)

    @property
    def active(self) -> int:
        return self.processing.in_flight

    @property
    def delayed(self) -> int:
        """In the retry queues."""
        return sum(queue.messages for name, queue in self.queues.items() if name not in _REQUIRED)

    @property
    def dead_letters(self) -> int:
        """Unresolved dead letters, and those that wait to be recorded."""
        return self.unresolved + self.queues[DEAD_LETTER_QUEUE].messages

    @property
    def consumers(self) -> int:
        return min(self.queues[name].consumers for name in (WORK_QUEUE, DUE_QUEUE))

    @property
    def failure_ratio(self) -> float:
        """Of the last 24 hours; 0 when nothing has finished."""
        finished = self.last_day.completed + self.last_day.failed
        return self.last_day.failed / finished if finished else 0.0


MAX_AGE_S = 10.0
"""For what is read every second."""

_QUEUES, _LOG, _UNRESOLVED = "queues", "log", "unresolved"


class QueueSnapshot:
    """The last readings of the queues and the log, in memory: a call waits for nothing.

    `count_max_age_s` is how old the count of dead letters may be: it is read less often.
    """

    def __init__(
        self,
        *,
        count_max_age_s: float,
        max_age_s: float = MAX_AGE_S,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        # Each value is stored with the time of its reading.
        self._readings = FreshnessCache[Any](max_age_s, clock)
        self._counts = FreshnessCache[tuple[int, datetime]](count_max_age_s, clock)

    def queues_read(self, queues: Mapping[str, QueueDepth]) -> None:
        """A retry queue may be absent while the schedule changes; the other queues are required."""
        if queues.keys() >= _REQUIRED:
            self._readings.put({_QUEUES: (queues, self._now())})

    def log_read(self, processing: Processing, last_day: LastDay) -> None:
        self._readings.put({_LOG: (processing, last_day, self._now())})

    def dead_letters_counted(self, unresolved: int) -> None:
        self._counts.put({_UNRESOLVED: (unresolved, self._now())})

    def state(self) -> QueueState:
        """Raises ApiError UNAVAILABLE that names the part without a recent reading."""
        readings, counts = self._readings.get(), self._counts.get()
        if _QUEUES not in readings:
            raise unavailable(
                "BROKER_UNAVAILABLE", "Queue depths are stale: no recent answer from the broker."
            )
        if _LOG not in readings or _UNRESOLVED not in counts:
            raise unavailable(
                "DATABASE_UNAVAILABLE", "Counts are stale: no recent answer from the database."
            )
        queues, queues_at = readings[_QUEUES]
        processing, last_day, log_at = readings[_LOG]
        unresolved, counted_at = counts[_UNRESOLVED]
        return QueueState(
            queues=queues,
            processing=processing,
            last_day=last_day,
            unresolved=unresolved,
            read_at=min(queues_at, log_at, counted_at),
        )
