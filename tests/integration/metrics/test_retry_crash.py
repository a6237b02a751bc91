"""The service is killed at each step of a retry: nothing is lost, and nothing is done twice."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from ringback.metrics.client import MetricsClient
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.metrics.retry_stage import RetryStage
from tests.integration.processor.place import Place, ProcessorProcess
from tests.support.eventually import eventually
from tests.support.tokens import token

pytestmark = pytest.mark.slow

_LOCK = 4711
_CONNECTIONS = 2
_GATE = f"""
    CREATE FUNCTION wait_at_the_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock({_LOCK});
        RETURN NEW;
    END $$
"""
_AT_THE_GATE = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Gate:
    """Blocks statements of one kind on one table until it is opened."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def shut(self, table: str, event: str) -> None:
        await self._connection.execute(_GATE)
        await self._connection.execute(
            f"CREATE TRIGGER gate BEFORE {event} ON {table} FOR EACH ROW"
            " EXECUTE FUNCTION wait_at_the_gate()"
        )
        await self._connection.execute(f"SELECT pg_advisory_lock({_LOCK})")

    async def open(self) -> None:
        await self._connection.execute(f"SELECT pg_advisory_unlock({_LOCK})")
        await self._connection.execute("DROP FUNCTION wait_at_the_gate CASCADE")

    async def holds_one(self) -> bool:
        return bool(await self._connection.fetchval(_AT_THE_GATE))

    async def holds_none(self) -> bool:
        return not await self.holds_one()


@asynccontextmanager
async def service(
    place: Place, tmp_path: Path
) -> AsyncGenerator[tuple[MetricsProcess, MetricsClient], None]:
    urls = {"amqp_url": place.amqp_url, "database_url": place.database_url}
    schedule = {"RINGBACK_RETRY_SCHEDULE": place.retry_schedule}
    async with metrics_process(tmp_path, **urls, **schedule) as process:
        await eventually(process.is_ready, deadline_s=20)
        # Ready to read is not yet ready to publish, which uses another connection.
        await eventually(lambda: process.logged("broker.connected") == _CONNECTIONS)
        address = f"127.0.0.1:{process.grpc_port}"
        async with MetricsClient(address, token=token()) as client:
            yield process, client


@asynccontextmanager
async def pressed(client: MetricsClient, job_id: UUID) -> AsyncGenerator[None, None]:
    """A retry is under way; its caller hears of no end."""
    press = asyncio.create_task(client.retry_delivery(str(job_id)))
    try:
        yield
    finally:
        press.cancel()
        await asyncio.gather(press, return_exceptions=True)


async def is_finished_once(retrying: RetryStage, original: UUID) -> None:
    """By the real processor: one new webhook, one run of its handler, one attempt."""
    new_id = (await retrying.row(original))["retried_as"]
    assert new_id is not None
    await retrying.stage.until(new_id, "completed", deadline_s=30)
    await retrying.stage.until_empty("webhooks.work")
    count = "SELECT count(*) FROM webhook_delivery_log WHERE retry_of = $1"
    assert await retrying.database.fetchval(count, original) == 1
    assert len(await retrying.stage.attempts(new_id)) == 1
    assert len(await retrying.audit()) == len(await retrying.retries()) == 1


async def test_killed_in_the_transaction_it_has_changed_nothing(
    retrying: RetryStage,
    place: Place,
    tmp_path: Path,
    start_processor: Callable[[], ProcessorProcess],
) -> None:
    """The dead letter waits as before, and the next request retries it."""
    original, gate = await retrying.bury(), Gate(retrying.database)
    before = await retrying.snapshot()
    await gate.shut("webhook_audit", "INSERT")
    async with service(place, tmp_path) as (process, client), pressed(client, original):
        await eventually(gate.holds_one)
        process.process.kill()
        await eventually(gate.holds_none)
    await gate.open()

    assert await retrying.snapshot() == before
    start_processor()
    async with service(place, tmp_path) as (_, client):
        await client.retry_delivery(str(original))
        await is_finished_once(retrying, original)


async def test_killed_before_the_mark_it_is_published_again_and_run_once(
    retrying: RetryStage,
    place: Place,
    tmp_path: Path,
    start_processor: Callable[[], ProcessorProcess],
) -> None:
    """The second message has the id of the first, and the log recognizes it."""
    original, gate = await retrying.bury(), Gate(retrying.database)
    await gate.shut("webhook_retries", "UPDATE")
    async with service(place, tmp_path) as (process, client), pressed(client, original):
        await eventually(gate.holds_one)
        await retrying.stage.until_waiting("webhooks.work", 1)
        process.process.kill()
        await eventually(gate.holds_none)
    await gate.open()
    [retry] = await retrying.retries()
    assert retry["published_at"] is None

    async with service(place, tmp_path):
        await retrying.stage.until_waiting("webhooks.work", 2)
        start_processor()
        await is_finished_once(retrying, original)
    assert len(await retrying.stage.runs(retry["new_id"])) >= 1
