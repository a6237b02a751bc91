"""The last reading of the queues, for as long as it is fresh."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from services.metrics.api.errors import unavailable
from services.metrics.queue_depth import QueueDepth
from services.metrics.reads.queue_state import LastDay, Processing, QueueState

MAX_AGE_S = 10.0
"""For what is read every second."""

_NEEDED = frozenset({WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Reading(Generic[T]):
    value: T
    taken_at_s: float
    taken_at: datetime


class QueueSnapshot:
    """Answers from memory, so a call costs nothing and waits for nothing.

    `count_max_age_s` is how old the count of dead letters may be: it is read less often.
    """

    def __init__(
        self,
        *,
        count_max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._count_max_age_s = count_max_age_s
        self._clock = clock
        self._now = now
        self._queues: _Reading[Mapping[str, QueueDepth]] | None = None
        self._log: _Reading[tuple[Processing, LastDay]] | None = None
        self._unresolved: _Reading[int] | None = None

    def queues_read(self, queues: Mapping[str, QueueDepth]) -> None:
        """A retry queue may be absent while the schedule changes; the other queues are required."""
        if queues.keys() >= _NEEDED:
            self._queues = self._taken(queues)

    def log_read(self, processing: Processing, last_day: LastDay) -> None:
        self._log = self._taken((processing, last_day))

    def dead_letters_counted(self, unresolved: int) -> None:
        self._unresolved = self._taken(unresolved)

    def state(self) -> QueueState:
        """Raises ApiError UNAVAILABLE that names the part without a recent reading."""
        if self._queues is None or self._is_stale(self._queues, MAX_AGE_S):
            raise unavailable("BROKER_UNAVAILABLE", "The broker has not told of its queues lately.")
        if (
            self._log is None
            or self._unresolved is None
            or self._is_stale(self._log, MAX_AGE_S)
            or self._is_stale(self._unresolved, self._count_max_age_s)
        ):
            raise unavailable("DATABASE_UNAVAILABLE", "The database has not answered lately.")
        processing, last_day = self._log.value
        return QueueState(
            queues=self._queues.value,
            processing=processing,
            last_day=last_day,
            unresolved=self._unresolved.value,
            read_at=min(self._queues.taken_at, self._log.taken_at, self._unresolved.taken_at),
        )

    def _taken(self, value: T) -> _Reading[T]:
        return _Reading(value, self._clock(), self._now())

    def _is_stale(self, reading: _Reading[T], max_age_s: float) -> bool:
        return self._clock() - reading.taken_at_s > max_age_s
