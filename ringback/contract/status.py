"""The words for where a webhook is, and for how an attempt ended."""

from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """Where a webhook is. The words stand in the database and in every answer."""

    #: Accepted and on the broker's disk; no attempt has begun.
    PENDING = "pending"
    #: An attempt is running, or was running when its process died.
    PROCESSING = "processing"
    #: A handler finished it. It is never run again.
    COMPLETED = "completed"
    #: An attempt failed; the next one, or the dead letters, is coming.
    FAILED = "failed"
    #: No attempt is left, or a handler said that none can help. A person decides.
    DEAD_LETTER = "dead_letter"
    #: The same event had arrived before; `duplicate_of` says which webhook carried it.
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
"""Where each status may lead. `docs/state_machine.md` draws it."""


class AttemptOutcome(StrEnum):
    """How one attempt ended. Written once per attempt; a redelivery repeats what it says."""

    COMPLETED = "completed"
    #: The handler failed; another attempt may help.
    FAILED = "failed"
    #: The handler said that no attempt can help.
    PERMANENT = "permanent"
    DUPLICATE = "duplicate"

    @property
    def status(self) -> Status:
        """The status of a webhook right after an attempt of this outcome.

        A permanent failure is `failed` until the dead-letter recorder has it in hand.
        """
        return Status.FAILED if self is AttemptOutcome.PERMANENT else Status(self.value)
