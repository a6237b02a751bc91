"""Dead letters, and the calls that resolve them, with a real broker and a real database."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from prometheus_client import CollectorRegistry

from chaos.fault_proxy import FaultProxy
from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    RetryDeliveryRequest,
    RunDuplicateRequest,
)
from ringback.runtime.amqp.publisher import ConfirmedPublisher
from ringback.runtime.observability.tracing import NO_TRACES
from services.metrics.auth.access import Access
from services.metrics.auth.principal import Principal, Role
from services.metrics.commands.bulk_retry import BulkRetry
from services.metrics.commands.bulk_rules import Throttle
from services.metrics.commands.discard import Discard
from services.metrics.commands.outbox import RetryOutbox, RetrySpans
from services.metrics.commands.processing import ProcessingSwitch
from services.metrics.commands.retry import Retries
from services.metrics.commands.sweeper import RetrySweeper
from services.metrics.instruments import RetryInstruments
from services.metrics.polling.queue_depths import QueueDepths
from services.metrics.transport.call import Call
from services.metrics.transport.errors import ApiError
from tests.integration.metrics.queried_log import rpcs
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import Stage, opened, scripted
from tests.support.database_roles import METRICS, url_as
from tests.support.eventually import eventually

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
SERVICE = Principal(Role.SERVICE, None, "ada")
TENANT = Principal(Role.TENANT, OURS, "grace")
STRANGER = Principal(Role.TENANT, THEIRS, "eve")

PUBLISH_TIMEOUT_S = 0.5
EAGER = Throttle(check_every_s=0.1)
WORKS = scripted("plain")
FAILS = scripted("plain", permanent="It fails each time.")

_BURY = """
    INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, altered,
        status, attempts, max_attempts, created_at, error_class, error_message, call_id, dedup_key,
        gateway_instance_id)
    VALUES ($1, $2, 'default', $3, $4::jsonb, $5, $6, 4, 4, webhook_created_at($1), $7, 'Why.',
        $8, $9, $10)
"""
_CLAIM = "INSERT INTO webhook_inbox (org_id, dedup_key, delivery_id) VALUES ($1, $2, $3)"
_ALL = (
    "SELECT t::text FROM webhook_delivery_log AS t ORDER BY 1",
    "SELECT t::text FROM webhook_inbox AS t ORDER BY 1",
    "SELECT t::text FROM webhook_retries AS t ORDER BY 1",
    "SELECT t::text FROM webhook_audit AS t ORDER BY 1",
)


@dataclass(slots=True)
class RetryStage:
    """`api` answers as the metrics service does; its publishes go through `proxy`."""

    stage: Stage
    proxy: FaultProxy
    access: Access
    outbox: RetryOutbox
    api: Any
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def database(self) -> asyncpg.Connection:
        """The superuser's."""
        return self.stage.database

    def call(self, principal: Principal = SERVICE, *, within_s: float = 60) -> Call:
        return Call(principal, asyncio.get_running_loop().time() + within_s, self.stopping)

    def sweeper(self, *, min_age_s: float = 0) -> RetrySweeper:
        return RetrySweeper(self.access, self.outbox, self.stopping, min_age_s=min_age_s)

    async def bury(self, event: dict[str, Any] | None = None, **changes: Any) -> UUID:
        """A dead letter as the processor stores it: with its claim."""
        job_id = changes.pop("job_id", None) or new_job_id()
        event = WORKS if event is None else event
        row = {
            "org_id": OURS,
            "event_type": event.get("message", {}).get("type", "unknown"),
            "event_data": orjson.dumps(event).decode(),
            "altered": False,
            "status": "dead_letter",
            "error_class": "TimeoutError",
            "call_id": None,
            "dedup_key": f"key of {job_id}",
            "gateway_instance_id": uuid4(),
        } | changes
        await self.database.execute(_BURY, job_id, *row.values())
        if row["dedup_key"] is not None:
            await self.database.execute(_CLAIM, row["org_id"], row["dedup_key"], job_id)
        return job_id

    async def retry(self, job_id: UUID | str, principal: Principal = SERVICE, **fields: str) -> Any:
        request = RetryDeliveryRequest(job_id=str(job_id), **fields)
        return await self.api.retry_delivery(request, self.call(principal))

    async def run_duplicate(self, job_id: UUID, principal: Principal = SERVICE) -> Any:
        request = RunDuplicateRequest(job_id=str(job_id), reason="Two bookings.")
        return await self.api.run_duplicate(request, self.call(principal))

    async def discard(
        self, job_id: UUID, principal: Principal = SERVICE, reason: str = "Old."
    ) -> Any:
        request = DiscardDeadLetterRequest(job_id=str(job_id), reason=reason)
        return await self.api.discard_dead_letter(request, self.call(principal))

    async def rejection_of(self, command: Awaitable[Any]) -> ApiError:
        """The error of a command, which must change nothing."""
        before = await self.snapshot()
        with pytest.raises(ApiError) as caught:
            await command
        assert await self.snapshot() == before
        return caught.value

    async def row(self, job_id: UUID | str) -> asyncpg.Record:
        found = await self.stage.row(UUID(str(job_id)))
        assert found is not None
        return found

    async def snapshot(self) -> list[list[asyncpg.Record]]:
        """All that a decision may touch."""
        return [await self.database.fetch(statement) for statement in _ALL]

    async def retries(self) -> list[asyncpg.Record]:
        return await self.database.fetch("SELECT * FROM webhook_retries ORDER BY created_at")

    async def audit(self) -> list[asyncpg.Record]:
        return await self.database.fetch("SELECT * FROM webhook_audit ORDER BY id")

    async def owner(self, dedup_key: str) -> UUID | None:
        owner: UUID | None = await self.database.fetchval(
            "SELECT delivery_id FROM webhook_inbox WHERE dedup_key = $1", dedup_key
        )
        return owner

    async def waiting(self) -> int:
        return await self.stage.depth(WORK_QUEUE)

    async def until_open(self) -> None:
        await eventually(lambda: self.outbox.is_ready)


@asynccontextmanager
async def retry_stage(
    place: Place, proxy: FaultProxy, throttle: Throttle = EAGER
) -> AsyncGenerator[RetryStage, None]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(opened(place))
        database_url = url_as(place.database_url, METRICS)
        pool = await stack.enter_async_context(
            asyncpg.create_pool(database_url, min_size=0, max_size=10)
        )
        publisher = await stack.enter_async_context(
            ConfirmedPublisher(proxy.through(place.amqp_url), "test", timeout_s=PUBLISH_TIMEOUT_S)
        )
        queues = await stack.enter_async_context(QueueDepths(place.amqp_url, place.schedule))

        async def waiting() -> int | None:
            depth = await queues.depth_of(WORK_QUEUE, 1)
            return None if depth is None else depth.messages

        access = Access(pool)
        outbox = RetryOutbox(
            access, publisher, RetryInstruments(CollectorRegistry()), RetrySpans(NO_TRACES)
        )
        retries = Retries(access, outbox, place.schedule.max_attempts)
        bulk_retry = BulkRetry(access, retries, waiting, throttle)
        api = rpcs(retries, bulk_retry, Discard(access), ProcessingSwitch(access))
        stack.push_async_callback(bulk_retry.finish, 3)
        stack.push_async_callback(retries.finish, 3)
        made = RetryStage(stage, proxy, access, outbox, api)
        await made.until_open()
        try:
            yield made
        finally:
            proxy.release()


@pytest.fixture
async def proxy(broker: PrivateBroker) -> AsyncIterator[FaultProxy]:
    """A proxy to the broker that can cut connections and delay what is sent."""
    async with FaultProxy(broker.ports.amqp) as proxy:
        yield proxy


@pytest.fixture
async def place(amqp_url: str, database_url: str) -> Place:
    place = Place(amqp_url, database_url)
    await place.prepare()
    return place


@pytest.fixture
async def retrying(place: Place, proxy: FaultProxy) -> AsyncIterator[RetryStage]:
    async with retry_stage(place, proxy) as stage:
        yield stage


@pytest.fixture
def start_processor(place: Place, tmp_path: Path) -> Iterator[Callable[[], ProcessorProcess]]:
    """A function that starts a processor with scripted handlers; it ends with the test."""
    started: list[ProcessorProcess] = []

    def start() -> ProcessorProcess:
        process = ProcessorProcess(place, tmp_path / f"processor-{len(started)}.log")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def processor(start_processor: Callable[[], ProcessorProcess]) -> ProcessorProcess:
    return start_processor()
