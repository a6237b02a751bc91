from enum import StrEnum


class PublishOutcome(StrEnum):
    """How a publish ended. Only CONFIRMED says that the webhook is on the broker's disk."""

    CONFIRMED = "confirmed"
    #: There is no connection to the broker.
    LINK_DOWN = "link_down"
    #: The broker takes nothing: it is short of memory or disk.
    BLOCKED = "blocked"
    #: No confirm came in time. The message may be stored nevertheless.
    TIMEOUT = "timeout"
    #: The connection went away before the confirm. The message may be stored nevertheless.
    LINK_LOST = "link_lost"
    #: The broker said no, or no queue took the message.
    REFUSED = "refused"
