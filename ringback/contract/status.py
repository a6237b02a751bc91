"""The states of a webhook, and the outcomes of an attempt."""

from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """The state of a webhook. The values are used in the database and in every answer."""

    #: Accepted and on the broker's disk; no attempt has begun.
    PENDING = "pending"
    #: An attempt is running, or was running when its process died.
    PROCESSING = "processing"
    #: A handler finished it. It never runs again.
    COMPLETED = "completed"
    #: An attempt failed; the next one follows, or the webhook becomes a dead letter.
    FAILED = "failed"
    #: No attempt is left, or a handler reported that none can help. A person decides.
    DEAD_LETTER = "dead_letter"
    #: The same event had arrived before; `duplicate_of` is the webhook that carried it.
    DUPLICATE = "duplicate"


TRANSITIONS = MappingProxyType(
    {
        Status.PENDING: frozenset(
            {
                Status.PROCESSING,
                Status.COMPLETED,
                Status.FAILED,
                Status.DUPLICATE,
                Status.DEAD_LETTER,
            }
        ),
        Status.PROCESSING: frozenset(
            {
                Status.COMPLETED,
                Status.FAILED,
                Status.DUPLICATE,
                Status.DEAD_LETTER,
            }
        ),
        Status.FAILED: frozenset(
            {
                Status.PROCESSING,
                Status.COMPLETED,
                Status.FAILED,
                Status.DUPLICATE,
                Status.DEAD_LETTER,
            }
        ),
        Status.COMPLETED: frozenset[Status](),
        Status.DUPLICATE: frozenset[Status](),
        Status.DEAD_LETTER: frozenset[Status](),
    }
)
"""The next states of each status. `docs/state_machine.md` draws them."""


class AttemptOutcome(StrEnum):
    """How one attempt ended. Written once per attempt; a redelivery repeats it."""

    COMPLETED = "completed"
    #: The handler failed; another attempt may help.
    FAILED = "failed"
    #: The handler reported that no attempt can help.
    PERMANENT = "permanent"
    DUPLICATE = "duplicate"

    @property
    def status(self) -> Status:
        """The status of a webhook right after an attempt with this outcome.

        A permanent failure is `failed` until it is recorded as a dead letter.
        """
        return Status.FAILED if self is AttemptOutcome.PERMANENT else Status(self.value)
