from enum import StrEnum


class DeadReason(StrEnum):
    """Why a webhook became a dead letter."""

    #: The last attempt of the ladder failed.
    LADDER_EXHAUSTED = "ladder_exhausted"
    #: A handler said that no attempt can help.
    PERMANENT = "permanent"
    #: The process died each time it ran it.
    PROCESS_CRASH = "process_crash"
    #: It could not be attempted: no webhook of ours, lost on its way to the work queue, or returned
    #: without an attempt again and again.
    UNDELIVERABLE = "undeliverable"
