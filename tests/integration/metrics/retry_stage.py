"""Dead letters, and the calls that resolve them, with a real broker and a real database."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from prometheus_client import CollectorRegistry

from chaos.fault_proxy import FaultProxy
from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE, accepting_topology
from ringback.metrics.v1.admin_service_pb2 import (
    CreateRetryRunRequest,
    DiscardDeadLetterRequest,
    RetryDeliveryRequest,
    RetryRun,
    RunDuplicateRequest,
)
from ringback.runtime.amqp import topology
from ringback.runtime.amqp.publisher import Publisher
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.runtime.process.background import run_in_background
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.commands.discard import Discard
from ringback.services.metrics.commands.outbox import RetryOutbox, RetrySpans
from ringback.services.metrics.commands.processing import ProcessingSwitch
from ringback.services.metrics.commands.retry import Retries
from ringback.services.metrics.commands.retry_run_rules import Throttle
from ringback.services.metrics.commands.retry_run_worker import RetryRunner, RunTools
from ringback.services.metrics.commands.retry_runs import RetryRuns
from ringback.services.metrics.commands.sweeper import RetrySweeper
from ringback.services.metrics.instruments import RetryInstruments
from ringback.services.metrics.polling.queue_depths import QueueDepths
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.queried_log import rpcs
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import Stage, opened, scripted
from tests.support.database_roles import METRICS, url_as
from tests.support.eventually import eventually
from tests.support.loop_thread import LoopThread
from tests.support.session_nodes import SessionNodes

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
SERVICE = Principal(Role.SERVICE, None, "ada")
TENANT = Principal(Role.TENANT, OURS, "grace")
STRANGER = Principal(Role.TENANT, THEIRS, "eve")

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
    tools: RunTools

    @property
    def stopping(self) -> asyncio.Event:
        return self.tools.stopping

    @property
    def database(self) -> asyncpg.Connection:
        """The superuser's."""
        return self.stage.database

    def call(self, principal: Principal = SERVICE, *, within_s: float = 300) -> Call:
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
    place: Place,
    proxy: FaultProxy,
    throttle: Throttle = EAGER,
    *,
    publish_timeout_s: float = 60,
    has_runner: bool = True,
) -> AsyncGenerator[RetryStage, None]:
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(opened(place))
        await (await stage.channel.get_queue(WORK_QUEUE)).purge()
        database_url = url_as(place.database_url, METRICS)
        pool = await stack.enter_async_context(
            asyncpg.create_pool(database_url, min_size=0, max_size=10)
        )
        publisher = await stack.enter_async_context(
            Publisher(
                proxy.through(place.amqp_url),
                "test",
                needed=accepting_topology(),
                timeout_s=publish_timeout_s,
            )
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
        tools = RunTools(access, retries, waiting, asyncio.Event(), throttle, lease_s=3600)
        runner = RetryRunner(tools)
        retry_runs = RetryRuns(tools, runner)
        api = rpcs(retries, retry_runs, Discard(access), ProcessingSwitch(access))
        stack.push_async_callback(retry_runs.finish, 3)
        stack.push_async_callback(retries.finish, 3)
        made = RetryStage(stage, proxy, access, outbox, api, tools)
        await made.until_open()
        if has_runner:
            await stack.enter_async_context(run_in_background(lambda: runner.run(interval_s=0.1)))
        try:
            yield made
        finally:
            tools.stopping.set()
            proxy.release()


@pytest.fixture(scope="session")
def unconsumed(session_nodes: SessionNodes) -> Iterator[str]:
    """A virtual host for all tests in which no processor runs."""
    loop, stack = LoopThread(), AsyncExitStack()

    async def prepare() -> str:
        url = await stack.enter_async_context(session_nodes.amqp_url())
        await topology.apply(url, Place(url, "").schedule)
        return url

    yield loop.run(prepare())
    loop.run(stack.aclose())
    loop.close()


async def create_run(stage: RetryStage, principal: Principal = SERVICE, **fields: Any) -> RetryRun:
    defaults: dict[str, Any] = {"reason": "Fixed.", "rate_per_second": 100}
    request = CreateRetryRunRequest(**defaults | fields)
    answer = await stage.api.create_retry_run(request, stage.call(principal))
    run: RetryRun = answer.run
    return run


async def made_retries(stage: RetryStage) -> list[asyncpg.Record]:
    """The retries, each with the webhook that it created."""
    return await stage.database.fetch(
        "SELECT retry.*, log.status, log.attempts, log.dedup_key FROM webhook_retries AS retry"
        " JOIN webhook_delivery_log AS log ON log.id = retry.new_id ORDER BY retry.original"
    )


@pytest.fixture
async def place(
    request: pytest.FixtureRequest, session_nodes: SessionNodes, unconsumed: str, database_url: str
) -> AsyncIterator[Place]:
    """With a database for this test alone; with a processor, the virtual host is so, too."""
    if "start" not in request.fixturenames:
        yield Place(unconsumed, database_url)
        return
    async with session_nodes.amqp_url() as url:
        own = Place(url, database_url)
        await own.prepare()
        yield own


@pytest.fixture
async def retrying(place: Place, proxy: FaultProxy) -> AsyncIterator[RetryStage]:
    async with retry_stage(place, proxy) as stage:
        yield stage


@pytest.fixture
def processor(place: Place, start: Starter) -> ProcessorProcess:
    """A processor with scripted handlers."""
    return start(place)
