"""The state of the queues at one moment, in terms of the contract. No clock, no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from services.metrics.queue_depth import QueueDepth

_NO_RETRY_QUEUES = frozenset({WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE})


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
        return self.queues[WORK_QUEUE].messages + self.queues[QUARANTINE_QUEUE].messages

    @property
    def active(self) -> int:
        return self.processing.in_flight

    @property
    def delayed(self) -> int:
        """In the retry queues."""
        return sum(
            queue.messages for name, queue in self.queues.items() if name not in _NO_RETRY_QUEUES
        )

    @property
    def dead_letters(self) -> int:
        """Unresolved dead letters, and those that wait to be recorded."""
        return self.unresolved + self.queues[DEAD_LETTER_QUEUE].messages

    @property
    def consumers(self) -> int:
        return self.queues[WORK_QUEUE].consumers

    @property
    def failure_ratio(self) -> float:
        """Of the last 24 hours; 0 when nothing has finished."""
        finished = self.last_day.completed + self.last_day.failed
        return self.last_day.failed / finished if finished else 0.0
