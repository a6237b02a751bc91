from enum import StrEnum


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
