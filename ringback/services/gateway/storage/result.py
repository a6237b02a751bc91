"""How storing a webhook ends."""

from dataclasses import dataclass
from enum import StrEnum

from ringback.services.gateway.webhook import AcceptedWebhook


class PublishOutcome(StrEnum):
    """How a publish ended. Only CONFIRMED means that the webhook is on the broker's disk."""

    CONFIRMED = "confirmed"
    #: There is no connection to the broker.
    NOT_CONNECTED = "not_connected"
    #: The broker accepts nothing: it is short of memory or disk.
    BLOCKED = "blocked"
    #: No confirm came in time. The message may be stored nevertheless.
    TIMEOUT = "timeout"
    #: The connection was lost before the confirm. The message may be stored nevertheless.
    CONNECTION_LOST = "connection_lost"
    #: The broker rejected the message, or no queue accepted it.
    REFUSED = "refused"


class SpoolOutcome(StrEnum):
    """How a write to the spool ended. Only SPOOLED means that the webhook is on the disk."""

    SPOOLED = "spooled"
    #: The spool has reached its own limit, or the disk is full.
    FULL = "spool_full"
    #: The disk did not answer in time. The webhook may be stored nevertheless.
    SLOW = "spool_slow"
    #: The disk or the file cannot be used.
    BROKEN = "spool_broken"


class StorageTier(StrEnum):
    BROKER = "broker"
    SPOOL = "spool"


@dataclass(frozen=True, slots=True)
class StoreResult:
    """The outcome of storing one webhook. None means that the broker or the spool was not tried."""

    webhook: AcceptedWebhook
    published: PublishOutcome | None
    spooled: SpoolOutcome | None = None

    @property
    def tier(self) -> StorageTier | None:
        """Where the webhook is durably stored; None if it may be lost."""
        if self.published is PublishOutcome.CONFIRMED:
            return StorageTier.BROKER
        return StorageTier.SPOOL if self.spooled is SpoolOutcome.SPOOLED else None

    @property
    def reason(self) -> str:
        """The outcome of the last try, as metrics and logs name it."""
        return self.spooled or self.published or ""
