"""Pending rows never delay or fail a response, whatever the database does."""

import asyncio

import asyncpg
import pytest
from aio_pika.abc import AbstractChannel

from ringback.contract.topology import WORK_QUEUE
from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from ringback.runtime.postgres.migrate import migrate
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.eventually import eventually
from tests.support.gateway_client import settings_for

HANG = b'{"type": "hang"}'


async def _count(database_url: str) -> int:
    database = await asyncpg.connect(database_url)
    try:
        return int(await database.fetchval("SELECT count(*) FROM webhook_delivery_log"))
    finally:
        await database.close()


async def _deficit(database_url: str) -> int | None:
    """The ledger's count of accepted webhooks, minus the rows of that instance."""
    database = await asyncpg.connect(database_url)
    try:
        deficit: int | None = await database.fetchval(
            """SELECT max(accepted) - (SELECT count(*) FROM webhook_delivery_log AS log
                                       WHERE log.gateway_instance_id = ledger.gateway_instance_id)
               FROM webhook_gateway_ledger AS ledger GROUP BY ledger.gateway_instance_id"""
        )
        return deficit
    finally:
        await database.close()


async def test_accepts_without_a_database(ready_amqp_url: str) -> None:
    """Without a database, webhooks are accepted, and the gateway starts and stops."""
    nobody = f"postgresql://postgres@127.0.0.1:{free_ports(1)[0]}/ringback"

    async with running(settings_for(ready_amqp_url, nobody)) as gateway:
        answer = await gateway.send(HANG)
        ready = await gateway.ready()

    assert answer.status == 200
    assert ready


async def test_rows_wait_for_the_database_within_limits(
    ready_amqp_url: str, own_database: PrivateDatabase
) -> None:
    """After an outage the waiting rows are written; the ledger shows the dropped ones."""
    url = own_database.url()
    await migrate(url)
    settings = settings_for(ready_amqp_url, url, pending_rows="3")
    async with running(settings) as gateway:
        await own_database.kill()
        answers = [await gateway.send(HANG) for _ in range(5)]
        assert await gateway.metric("webhook_pending_rows_total", outcome="dropped") == 2

        await own_database.start()

        assert [answer.status for answer in answers] == [200] * 5
        await eventually(lambda: _has(url, rows=3, deficit=2), deadline_s=20)
    assert await _count(url) == 3


async def _has(url: str, *, rows: int, deficit: int) -> bool:
    return await _count(url) == rows and await _deficit(url) == deficit


async def test_a_rejected_row_does_not_affect_others(
    ready_amqp_url: str, database_url: str
) -> None:
    """If PostgreSQL rejects a row, its batch is written row by row, and the row is counted."""
    database = await asyncpg.connect(database_url)
    await database.execute("ALTER TABLE webhook_delivery_log ADD CHECK (event_type <> 'unwelcome')")
    await database.close()

    async with running(settings_for(ready_amqp_url, database_url)) as gateway:
        await asyncio.gather(
            *(gateway.send(HANG) for _ in range(5)), gateway.send(b'{"type": "unwelcome"}')
        )
        await eventually(lambda: _has(database_url, rows=5, deficit=1))

        assert await gateway.metric("webhook_pending_rows_total", outcome="written") == 5
        assert await gateway.metric("webhook_pending_rows_total", outcome="dropped") == 1


async def test_a_slow_database_delays_no_response(ready_amqp_url: str, database_url: str) -> None:
    """With the table locked, webhooks are accepted, and their rows are written later."""
    database = await asyncpg.connect(database_url)
    try:
        async with running(settings_for(ready_amqp_url, database_url)) as gateway:
            async with database.transaction():
                await database.execute("LOCK webhook_delivery_log IN ACCESS EXCLUSIVE MODE")
                answers = [await gateway.send(HANG) for _ in range(20)]

            assert {answer.status for answer in answers} == {200}
            await eventually(lambda: _has(database_url, rows=20, deficit=0))
    finally:
        await database.close()


async def test_rows_are_written_at_shutdown(ready_amqp_url: str, database_url: str) -> None:
    """Stopped right after its responses, the gateway writes their rows and its last count."""
    async with running(settings_for(ready_amqp_url, database_url)) as gateway:
        await asyncio.gather(*(gateway.send(HANG) for _ in range(100)))

    assert await _has(database_url, rows=100, deficit=0)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"type":"ha\\u0000ng","y":"\\ud800"}', id="NUL in the type"),
        pytest.param(b'{"type":"hang","call":{"id":"a\\u0000"}}', id="NUL in the call id"),
        pytest.param(
            b'{"type":"hang","call":{"id":"\\ud800"},"timestamp":1}', id="surrogate in id"
        ),
        pytest.param(b'{"type":"hang","timestamp":1e130000,"call":{"id":"c"}}', id="vast time"),
        pytest.param(b'{"type":"hang","call":{"id":7},"artifact":[],"timestamp":[]}', id="shapes"),
    ],
)
async def test_accepts_what_only_the_log_cannot_store(
    gateway: RunningGateway, channel: AbstractChannel, body: bytes
) -> None:
    """The broker stores it unchanged, and its row is written."""
    answer = await gateway.send(body)

    assert answer.status == 200
    assert await count_in(channel, WORK_QUEUE) == 1
    await _eventually_one_row_written(gateway)


async def _eventually_one_row_written(gateway: RunningGateway) -> None:
    async with asyncio.timeout(60):
        while not await gateway.metric("webhook_pending_rows_total", outcome="written"):
            assert not await gateway.metric("webhook_pending_rows_total", outcome="dropped")
            await asyncio.sleep(0.02)
