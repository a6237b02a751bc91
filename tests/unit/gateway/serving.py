"""A gateway's HTTP server and handler with a broker and a delivery log in memory."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
from prometheus_client import CollectorRegistry

from ringback.contract.envelope import Envelope
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.trace_export import tracing
from services.gateway.app import build_server
from services.gateway.instruments import GatewayInstruments, SpoolInstruments
from services.gateway.log.delivery_log import PendingRow, PendingRows
from services.gateway.storage.breaker import Breaker
from services.gateway.storage.result import PublishOutcome
from services.gateway.storage.store import ConfirmTimeouts, WebhookStore
from tests.support.gateway_client import NOBODY, GatewayClient, settings_for

INSTANCE_ID = UUID(int=1)


@dataclass
class MemoryBroker:
    """Confirms and keeps each webhook, or ends each publish with another outcome or an error."""

    outcome: PublishOutcome = PublishOutcome.CONFIRMED
    error: Exception | None = None
    published: list[tuple[Envelope, bytes]] = field(default_factory=list)

    async def is_ready(self) -> bool:
        return self.outcome is PublishOutcome.CONFIRMED

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        assert timeout_s > 0
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.outcome is PublishOutcome.CONFIRMED:
            self.published.append((envelope, body))
        return self.outcome


class MemoryLog:
    """Keeps all rows."""

    def __init__(self) -> None:
        self.rows: list[PendingRow] = []

    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int:
        del accepted
        self.rows += rows
        return 0


@dataclass
class ServedGateway(GatewayClient):
    broker: MemoryBroker
    log: MemoryLog
    registry: CollectorRegistry
    stop: asyncio.Event

    def metric(self, name: str, **labels: str) -> float:
        """The current value of a metric; 0 if it has no value yet."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def take(self) -> tuple[Envelope, bytes]:
        """Return the only webhook that was published since the last call."""
        [published] = self.broker.published
        self.broker.published.clear()
        return published


@asynccontextmanager
async def serving(
    clock: Callable[[], float] = time.monotonic, /, **more: str
) -> AsyncGenerator[ServedGateway]:
    """Serve with these settings until the end, or until `stop` is set."""
    settings = settings_for(f"amqp://{NOBODY}/", f"postgresql://{NOBODY}/x", **more)
    registry, broker, log = CollectorRegistry(), MemoryBroker(), MemoryLog()
    instruments = GatewayInstruments(
        registry, is_connected=lambda: True, exemplars=Exemplars(is_traced=False)
    )
    store = WebhookStore(
        broker=broker,
        spool=None,
        breaker=Breaker(),
        timeouts=ConfirmTimeouts(with_spool_s=1.0, without_spool_s=1.0),
        instruments=instruments,
        spool_instruments=SpoolInstruments(registry),
    )
    pending = PendingRows(log, instruments, max_rows=10_000)
    stop = asyncio.Event()
    async with tracing("gateway", registry) as tracer, pending.running():
        server = build_server(
            settings,
            store=store,
            pending=pending,
            instruments=instruments,
            tracer=tracer,
            instance_id=INSTANCE_ID,
            clock=clock,
        )
        started = asyncio.Event()

        async def serve() -> None:
            async with server.running():
                started.set()
                await stop.wait()

        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(serve())
            await started.wait()
            try:
                yield ServedGateway(session, server.port, broker, log, registry, stop)
            finally:
                await session.close()
                stop.set()
