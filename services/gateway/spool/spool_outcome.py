from enum import StrEnum


class SpoolOutcome(StrEnum):
    """How the storing of a webhook in the spool ended. Only SPOOLED says that it is on the disk."""

    SPOOLED = "spooled"
    #: There is no more room: the spool's own bound, or the disk's.
    FULL = "spool_full"
    #: The disk did not answer in time. The webhook may be stored nevertheless.
    SLOW = "spool_slow"
    #: The disk or the file cannot be used.
    BROKEN = "spool_broken"
