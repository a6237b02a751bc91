"""The states of a webhook, the outcomes of an attempt, and the reasons for a dead letter."""

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
                # The attempt was not used: the webhook waits for it in PostgreSQL.
                Status.PENDING,
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


class DeadReason(StrEnum):
    """Why a webhook became a dead letter."""

    #: The last attempt of the schedule failed.
    RETRIES_EXHAUSTED = "retries_exhausted"
    #: A handler reported that no attempt can help.
    PERMANENT = "permanent"
    #: The process crashed each time it processed the webhook.
    PROCESS_CRASH = "process_crash"
    #: It could not be attempted: it is not a valid webhook, was lost on its way to the work queue,
    #: or was returned without an attempt too often.
    UNDELIVERABLE = "undeliverable"
    #: Someone cancelled it while it waited.
    CANCELLED = "cancelled"


class WaitReason(StrEnum):
    """Why a webhook waits in PostgreSQL."""

    #: An attempt failed; the next one is due after a delay that is longer than a retry queue's.
    RETRY = "retry"
    #: A destination that its handler calls is unavailable. No attempt was used.
    DESTINATION = "destination"
    #: An earlier webhook of the same call is not finished. No attempt was used.
    ORDER = "order"
    #: It forwards another webhook, and has not been published yet.
    FORWARD = "forward"
    #: Someone cancelled it: it becomes a dead letter.
    CANCELLED = "cancelled"
