"""Pending rows never delay or fail a response, whatever the database does."""

import asyncio

import asyncpg
from aio_pika.abc import AbstractChannel

from ringback.contract.topology import WORK_QUEUE
from ringback.local.ports import free_ports
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

        async def are_counted() -> bool:
            outcomes = ("written", "dropped")
            counts = [
                await gateway.metric("webhook_pending_rows_total", outcome=one) for one in outcomes
            ]
            return counts == [5, 1]

        await eventually(are_counted)


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


#: What only the log cannot store as it is.
ODD = [
    b'{"type":"ha\\u0000ng","y":"\\ud800"}',
    b'{"type":"hang","call":{"id":"a\\u0000"}}',
    b'{"type":"hang","call":{"id":"\\ud800"},"timestamp":1}',
    b'{"type":"hang","timestamp":1e130000,"call":{"id":"c"}}',
    b'{"type":"hang","call":{"id":7},"artifact":[],"timestamp":[]}',
]


async def test_accepts_what_only_the_log_cannot_store(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """The broker stores it unchanged, and its row is written."""
    for count, body in enumerate(ODD, start=1):
        assert (await gateway.send(body)).status == 200, body

        async def is_written(count: int = count) -> bool:
            return await gateway.metric("webhook_pending_rows_total", outcome="written") == count

        await eventually(is_written)
    assert await count_in(channel, WORK_QUEUE) == len(ODD)
