"""Tests for cleanup_old_webhook_logs: finished webhooks are deleted, unfinished ones stay."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    INSTANCE,
    ORG,
    TODAY,
    End,
    Webhook,
    accept,
    bury,
    clean,
    finish,
    left,
    old_webhooks,
)
from tests.support.eventually import eventually

ERROR = ("TimeoutError", "It took too long.")


async def test_a_finished_day_is_dropped(connection: asyncpg.Connection) -> None:
    """Its attempts are dropped too; days within the retention stay, exact to the day."""
    done, twin, resolved = await old_webhooks(connection, 3)
    [kept] = await old_webhooks(connection, 1, age_days=30)
    [border] = await old_webhooks(connection, 1, age_days=31)
    await finish(connection, End(done), End(kept), End(border), End(twin, "duplicate"))
    await bury(connection, resolved)
    await connection.execute(
        "UPDATE webhook_delivery_log SET resolution = 'dismissed' WHERE id = $1", resolved.id
    )

    await clean(connection)

    assert await left(connection, 40) is None
    assert await left(connection, 31) is None
    assert await left(connection, 30) == (1, 1)


@pytest.mark.parametrize("batch", [1, 5_000])
async def test_unfinished_webhooks_stay(connection: asyncpg.Connection, batch: int) -> None:
    """The finished rows of their day are deleted in any number of batches, and only once."""
    webhooks = await old_webhooks(connection, 14)
    pending, failed, dead, *done = webhooks
    await accept(connection, pending)
    await finish(connection, End(failed, "failed", 1, ERROR), *(End(w) for w in done))
    await finish(connection, End(dead, "failed", 1, ERROR))
    await finish(connection, End(dead, "failed", 2, ERROR))
    await bury(connection, dead)

    for _ in range(2):
        await clean(connection, batch=batch)

        rows = await connection.fetch("SELECT id FROM webhook_delivery_log ORDER BY id")
        assert [row["id"] for row in rows] == [pending.id, failed.id, dead.id]
        assert await left(connection) == (3, 3)


async def test_several_sessions_can_clean_at_once(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """Each processor cleans; a row that another has deleted makes none fail."""
    for age in range(40, 46):
        webhooks = await old_webhooks(connection, 30, age_days=age)
        await finish(connection, *(End(w) for w in webhooks[1:]))
        if age % 2:
            await accept(connection, webhooks[0])
    cleaners = [await connect() for _ in range(4)]

    await asyncio.gather(*(clean(cleaner, batch=5) for cleaner in cleaners))

    assert [await left(connection, age) for age in range(40, 46)] == [None, (1, 0)] * 3


async def test_invalid_arguments_are_rejected(connection: asyncpg.Connection) -> None:
    """A wrong argument does not empty the log, and does not run forever.

    The steps of the cleanup can be called alone, and refuse a day that is not past.
    """
    for retention, batch in ((0, 10), (-1, 10), (30, 0)):
        with pytest.raises(asyncpg.RaiseError, match="at least 1"):
            await clean(connection, retention, batch)
    for function in ("drop_finished_webhook_partitions($1)", "delete_finished_webhooks($1, 10)"):
        with pytest.raises(asyncpg.RaiseError, match="is not past"):
            await connection.fetchval(f"SELECT {function}", TODAY)


async def test_claims_are_kept_for_a_week(connection: asyncpg.Connection) -> None:
    """After that a copy of an event is another event."""
    await connection.executemany(
        "INSERT INTO webhook_inbox VALUES ($1, $2, $3, now() - $4::interval)",
        [(ORG, f"{days}", Webhook().id, timedelta(days=days)) for days in (0, 6, 8, 20, 400)],
    )

    await clean(connection, batch=1)

    rows = await connection.fetch("SELECT dedup_key FROM webhook_inbox ORDER BY claimed_at DESC")
    assert [row["dedup_key"] for row in rows] == ["0", "6"]


async def test_the_ledger_keeps_the_newest_count_of_an_instance(
    connection: asyncpg.Connection,
) -> None:
    """The newest row of an instance has its whole count; the others are deleted after a day."""
    await connection.executemany(
        "INSERT INTO webhook_gateway_ledger VALUES ($1, now() - $2::interval, $3)",
        [
            (INSTANCE, timedelta(days=3), 5),
            (INSTANCE, timedelta(days=2), 9),
            (INSTANCE, timedelta(hours=2), 12),
            (INSTANCE, timedelta(hours=1), 12),
            (ORG, timedelta(days=2), 7),
            (ORG, timedelta(days=31), 3),
            (Webhook().id, timedelta(days=31), 3),
        ],
    )

    await clean(connection)

    rows = await connection.fetch(
        "SELECT gateway_instance_id, accepted FROM webhook_gateway_ledger ORDER BY 1, 2"
    )
    assert [tuple(row) for row in rows] == [(ORG, 7), (INSTANCE, 12), (INSTANCE, 12)]


async def test_a_reader_blocks_neither_the_writers_nor_the_cleanup(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A report keeps its day until the next cleanup; the other days are cleaned meanwhile."""
    [read] = await old_webhooks(connection, 1)
    waiting, done = await old_webhooks(connection, 2, age_days=39)
    await accept(connection, waiting)
    await finish(connection, End(read), End(done))
    reader, cleaner, writer = await connect(), await connect(), await connect()
    await reader.execute("BEGIN")
    await reader.fetch("SELECT * FROM webhook_delivery_log WHERE id = $1", read.id)

    cleaning = asyncio.create_task(clean(cleaner))
    written = 0
    while not cleaning.done():
        await finish(writer, End(Webhook()))
        written += 1
    await cleaning

    assert written
    assert await left(connection, 40) == (1, 1)
    assert await left(connection, 39) == (1, 0)
    await reader.execute("ROLLBACK")
    await clean(cleaner)
    assert await left(connection, 40) is None


async def test_a_drop_waits_for_a_short_reader(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A short read only delays it."""
    # Short is what is shorter than this, on a busy machine too.
    await connection.execute(
        "ALTER FUNCTION drop_finished_webhook_partitions SET lock_timeout = '10min'"
    )
    [read] = await old_webhooks(connection, 1)
    await finish(connection, End(read))
    reader, cleaner = await connect(), await connect()
    await reader.execute("BEGIN")
    await reader.fetch("SELECT * FROM webhook_delivery_log WHERE id = $1", read.id)

    cleaning = asyncio.create_task(clean(cleaner))
    await eventually(lambda: _a_drop_waits(connection))
    await reader.execute("ROLLBACK")
    await cleaning

    assert await left(connection) is None


async def _a_drop_waits(connection: asyncpg.Connection) -> bool:
    waiting: int = await connection.fetchval(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    )
    return waiting > 0
