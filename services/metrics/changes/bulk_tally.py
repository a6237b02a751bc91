"""Results of the webhooks that a bulk retry created."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from ringback.contract.status import Status

_ENDED = frozenset({Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER})
_FAILING = frozenset({Status.FAILED, Status.DEAD_LETTER})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row of the log: its status, and how many attempts have ended."""

    id: UUID
    status: Status
    attempts: int

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def has_failed(self) -> bool:
        """Whether any attempt failed, even if a later one succeeded."""
        succeeded = self.has_ended and self.status not in _FAILING
        return self.status in _FAILING or self.attempts > int(succeeded)


@dataclass(slots=True)
class Tally:
    retried: int = 0
    completed: int = 0
    skipped: int = 0
    _unfinished: set[UUID] = field(default_factory=set)
    _failed: set[UUID] = field(default_factory=set)

    @property
    def failed_again(self) -> int:
        """Webhooks, not attempts."""
        return len(self._failed)

    @property
    def unfinished(self) -> frozenset[UUID]:
        """Those that have not ended, by the last states recorded."""
        return frozenset(self._unfinished)

    def made(self, new_id: UUID) -> None:
        self.retried += 1
        self._unfinished.add(new_id)

    def note(self, outcomes: Iterable[Outcome]) -> None:
        """Record the current states of some of the unfinished webhooks."""
        for outcome in outcomes:
            if outcome.id not in self._unfinished:
                continue
            if outcome.has_failed:
                self._failed.add(outcome.id)
            if outcome.has_ended:
                self._unfinished.discard(outcome.id)
                self.completed += outcome.status is Status.COMPLETED
