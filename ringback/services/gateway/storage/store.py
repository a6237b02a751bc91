"""Stores accepted webhooks: on the broker, or in the spool while the broker cannot confirm."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, Self

from ringback.contract.envelope import Envelope
from ringback.contract.trace_context import TraceContext
from ringback.runtime.amqp.publisher import Publisher
from ringback.services.gateway.instruments import GatewayInstruments, SpoolInstruments
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.gateway.storage.breaker import Breaker
from ringback.services.gateway.storage.publisher import WebhookPublisher
from ringback.services.gateway.storage.result import PublishOutcome, SpoolOutcome, StoreResult
from ringback.services.gateway.storage.spool.drainer import Drainer
from ringback.services.gateway.storage.spool.salvage import Salvager
from ringback.services.gateway.storage.spool.spool import Spool, SpoolBounds
from ringback.services.gateway.webhook import AcceptedWebhook


class Broker(Protocol):
    async def is_ready(self) -> bool: ...

    async def publish(
        self, envelope: Envelope, body: bytes, *, timeout_s: float
    ) -> PublishOutcome: ...


class LocalSpool(Protocol):
    @property
    def count(self) -> int: ...

    def has_room(self) -> bool: ...

    async def can_store(self) -> bool: ...

    async def store(self, webhook: AcceptedWebhook) -> SpoolOutcome: ...


class Instruments(Protocol):
    def publish_finished(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None: ...


class SpoolWrites(Protocol):
    def spool_write_finished(self, outcome: SpoolOutcome) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmTimeouts:
    """How long to wait for a confirm, with a spool as the alternative and without one."""

    with_spool_s: float
    without_spool_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookStore:
    broker: Broker
    spool: LocalSpool | None
    breaker: Breaker
    timeouts: ConfirmTimeouts
    instruments: Instruments
    spool_instruments: SpoolWrites
    workers: tuple[AbstractAsyncContextManager[object], ...] = ()

    async def store(self, webhook: AcceptedWebhook) -> StoreResult:
        """Return once the webhook is on a disk, or could not be stored. Raises nothing.

        After a timeout the broker may have the webhook as well as the spool. It is then published
        twice under one job id, and processed once.
        """
        spool = self.spool
        if spool is None or not spool.has_room():
            return StoreResult(webhook, await self._publish(webhook, self.timeouts.without_spool_s))
        published = None
        if self.breaker.allows_publish(spooled=spool.count):
            published = await self._publish(webhook, self.timeouts.with_spool_s)
            if published is PublishOutcome.CONFIRMED:
                return StoreResult(webhook, published)
        spooled = await spool.store(webhook)
        self.spool_instruments.spool_write_finished(spooled)
        return StoreResult(webhook, published, spooled)

    async def can_store(self) -> bool:
        """Whether a webhook could be stored now."""
        if self.spool is not None and await self.spool.can_store():
            return True
        return await self.broker.is_ready()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Run the spool while entered: publish what is in it when the broker recovers.

        Raises CannotStartError when another gateway uses the spool's folder.
        """
        async with AsyncExitStack() as stack:
            for worker in self.workers:
                await stack.enter_async_context(worker)
            yield self

    async def _publish(self, webhook: AcceptedWebhook, timeout_s: float) -> PublishOutcome:
        started_at = perf_counter()
        envelope = webhook.envelope
        outcome = await self.broker.publish(envelope, webhook.body, timeout_s=timeout_s)
        self.breaker.record(outcome)
        duration_s = perf_counter() - started_at
        self.instruments.publish_finished(outcome, duration_s=duration_s, trace=envelope.trace)
        return outcome


def build_store(
    settings: GatewaySettings,
    publisher: Publisher,
    instruments: GatewayInstruments,
    spool_instruments: SpoolInstruments,
) -> WebhookStore:
    """Build the store with its spool, if the settings name a folder for one."""
    breaker, broker = Breaker(), WebhookPublisher(publisher)
    spool = _spool(settings, spool_instruments)
    salvager = Salvager(spool, spool_instruments) if spool else None
    spool_instruments.watch(
        count=lambda: spool.count if spool else 0,
        size_bytes=lambda: spool.size_bytes if spool else 0,
        oldest_age_s=lambda: spool.oldest_age_s if spool else 0.0,
        damaged_rows=lambda: spool.damaged if spool else 0,
        kept_files=lambda: salvager.kept if salvager else 0,
        is_usable=lambda: spool is not None and spool.has_room(),
        is_breaker_open=lambda: breaker.is_open(spooled=spool.count if spool else 0),
    )
    drainer = spool and Drainer(
        spool=spool,
        broker=broker,
        breaker=breaker,
        instruments=spool_instruments,
        per_s=settings.spool_drain_per_s,
        timeout_s=settings.publish_timeout_s,
    )
    return WebhookStore(
        broker=broker,
        spool=spool,
        breaker=breaker,
        timeouts=ConfirmTimeouts(
            with_spool_s=min(settings.spool_after_s, settings.publish_timeout_s),
            without_spool_s=settings.publish_timeout_s,
        ),
        instruments=instruments,
        spool_instruments=spool_instruments,
        workers=(spool.running(), salvager, drainer) if spool and salvager and drainer else (),
    )


def _spool(settings: GatewaySettings, instruments: SpoolInstruments) -> Spool | None:
    if settings.spool_dir is None:
        instruments.spool_disabled()
        return None
    bounds = SpoolBounds(
        max_bytes=settings.spool_bytes,
        free_bytes=settings.spool_free_bytes,
        # All that is in flight, and as much again of requests that a hanging disk timed out.
        queue_bytes=2 * settings.max_in_flight_bytes,
        timeout_s=settings.spool_timeout_s,
    )
    return Spool(settings.spool_dir, bounds, instruments)
