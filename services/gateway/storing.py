"""Where an accepted webhook is put: the broker's disk, or ours until the broker takes it."""

from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Protocol

from pamqp.commands import Basic

from ringback.contract.envelope import Envelope
from ringback.contract.trace_context import TraceContext
from services.gateway.breaker import Breaker
from services.gateway.message import MessageProperties
from services.gateway.publish_outcome import PublishOutcome
from services.gateway.spool.spool_outcome import SpoolOutcome


class StoredIn(StrEnum):
    BROKER = "broker"
    SPOOL = "spool"


@dataclass(frozen=True, slots=True)
class Stored:
    """How the storing of one webhook ended. None stands for what was not tried."""

    published: PublishOutcome | None
    spooled: SpoolOutcome | None = None

    @property
    def place(self) -> StoredIn | None:
        """Where the webhook is for sure; None where it may be lost."""
        if self.published is PublishOutcome.CONFIRMED:
            return StoredIn.BROKER
        return StoredIn.SPOOL if self.spooled is SpoolOutcome.SPOOLED else None

    @property
    def reason(self) -> str:
        """In one of few words, what ended it."""
        return self.spooled or self.published or ""


class Broker(Protocol):
    async def publish(
        self, body: bytes, properties: Basic.Properties, *, timeout_s: float
    ) -> PublishOutcome: ...


class LocalSpool(Protocol):
    @property
    def count(self) -> int: ...

    def has_room(self) -> bool: ...

    async def store(self, envelope: Envelope, body: bytes) -> SpoolOutcome: ...


class Observer(Protocol):
    def publish_ended(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None: ...


class SpoolObserver(Protocol):
    def spooling_ended(self, outcome: SpoolOutcome) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a confirm is waited for, with a spool to turn to and without."""

    with_spool_s: float
    alone_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """Raises nothing. Without a spool it is the broker or nothing."""

    broker: Broker
    spool: LocalSpool | None
    breaker: Breaker
    patience: Patience
    observe: Observer
    observe_spool: SpoolObserver

    async def store(self, envelope: Envelope, body: bytes) -> Stored:
        """Return once the webhook is on a disk, or cannot be brought there.

        The broker may hold a webhook of which it did not tell in time. Then it is published twice
        under one job id, and worked on once.
        """
        spool = self.spool
        if spool is None or not spool.has_room():
            return Stored(await self._publish(envelope, body, self.patience.alone_s))
        published = None
        if self.breaker.admits(spooled=spool.count):
            published = await self._publish(envelope, body, self.patience.with_spool_s)
            if published is PublishOutcome.CONFIRMED:
                return Stored(published)
        spooled = await spool.store(envelope, body)
        self.observe_spool.spooling_ended(spooled)
        return Stored(published, spooled)

    async def _publish(self, envelope: Envelope, body: bytes, timeout_s: float) -> PublishOutcome:
        began = perf_counter()
        properties = MessageProperties(envelope)
        outcome = await self.broker.publish(body, properties, timeout_s=timeout_s)
        self.breaker.heard(outcome)
        duration_s = perf_counter() - began
        self.observe.publish_ended(outcome, duration_s=duration_s, trace=envelope.trace)
        return outcome
