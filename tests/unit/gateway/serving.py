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
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.trace_export import tracing
from ringback.services.gateway.app import (
    answer_supervisor,
    build_refresher,
    build_relay,
    build_server,
)
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.instruments import GatewayInstruments, SpoolInstruments
from ringback.services.gateway.log.delivery_log import PendingRow, PendingRows
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import AnsweredQuestion, QuestionLog
from ringback.services.gateway.storage.breaker import Breaker
from ringback.services.gateway.storage.result import PublishOutcome
from ringback.services.gateway.storage.store import ConfirmTimeouts, WebhookStore
from tests.support.gateway_client import NOBODY, PATH, SECRET, GatewayClient, settings_for
from tests.unit.gateway.questions.asking import MemoryTable

INSTANCE_ID = UUID(int=1)
HANG = b'{"type":"hang"}'
#: How a request with the secret begins.
START = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\n"


def gateway_instruments(registry: CollectorRegistry) -> GatewayInstruments:
    return GatewayInstruments(
        registry, is_connected=lambda: True, exemplars=Exemplars(is_traced=False)
    )


@dataclass
class MemoryBroker:
    """Confirms and keeps each webhook, or ends each publish with another outcome or an error.

    While `answers` is cleared, no publish ends.
    """

    outcome: PublishOutcome = PublishOutcome.CONFIRMED
    error: Exception | None = None
    published: list[tuple[Envelope, bytes]] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    def __post_init__(self) -> None:
        self.answers.set()

    async def is_ready(self) -> bool:
        return self.outcome is PublishOutcome.CONFIRMED

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        assert timeout_s > 0
        self.asked += 1
        await asyncio.sleep(0)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        if self.outcome is PublishOutcome.CONFIRMED:
            self.published.append((envelope, body))
        return self.outcome


class MemoryLog:
    """Keeps all rows."""

    def __init__(self) -> None:
        self.rows: list[PendingRow] = []
        self.questions: list[AnsweredQuestion] = []

    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int:
        del accepted
        self.rows += rows
        return 0


@dataclass
class ServedGateway(GatewayClient):
    broker: MemoryBroker
    log: MemoryLog
    registry: CollectorRegistry
    refusals: RefusalCounts
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
    instruments = gateway_instruments(registry)
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
    question_instruments = QuestionInstruments(registry, Exemplars(is_traced=False))
    questions = QuestionLog(MemoryTable(log.questions), question_instruments, max_waiting=100)
    refusals = RefusalCounts()
    table = EndpointTable(settings.read_endpoints(Sources()))
    async with (
        tracing("gateway", registry) as tracer,
        build_refresher(settings, table).running() as refresher,
        pending.running(),
        questions.running(),
        answer_supervisor(settings, question_instruments).running() as answers,
        build_relay(settings, questions, question_instruments, tracer, answers).running() as relay,
    ):
        server = build_server(
            settings,
            table=table,
            refresher=refresher,
            store=store,
            relay=relay,
            pending=pending,
            refusals=refusals,
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
                yield ServedGateway(session, server.port, broker, log, registry, refusals, stop)
            finally:
                await session.close()
                stop.set()
