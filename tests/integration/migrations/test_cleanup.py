"""Tests for cleanup_old_webhook_logs: finished webhooks are deleted, open ones stay."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import LIFE, ORG, End, Webhook, accept, bury, finish
from tests.support.eventually import eventually

TODAY = datetime.now(UTC).date()
ERROR = ("TimeoutError", "It took too long.")


async def old_webhooks(
    connection: asyncpg.Connection, count: int, *, age_days: int = 40
) -> list[Webhook]:
    """Webhooks of a day that is long past, for which partitions are made."""
    day = TODAY - timedelta(days=age_days)
    await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", day)
    first = await connection.fetchval(
        "SELECT webhook_id_at($1::date::timestamp AT TIME ZONE 'UTC' + interval '1 hour')", day
    )
    return [Webhook(id=UUID(int=first.int + n), dedup_key=f"{age_days}/{n}") for n in range(count)]


async def left(connection: asyncpg.Connection, age_days: int = 40) -> tuple[int, int] | None:
    """Rows and attempts of a day, or None if it was dropped."""
    suffix = f"{TODAY - timedelta(days=age_days):%Y%m%d}"
    names = [f"webhook_delivery_log_{suffix}", f"webhook_delivery_attempts_{suffix}"]
    there = [
        await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name) for name in names
    ]
    if not any(there):
        return None
    log, attempts = [
        await connection.fetchval(f"SELECT count(*) FROM {name}")  # ruff: ignore[hardcoded-sql-expression]  # a name of ours
        for name in names
    ]
    return log, attempts


async def clean(
    connection: asyncpg.Connection, retention_days: int = 30, batch: int = 5_000
) -> None:
    await connection.execute(f"CALL cleanup_old_webhook_logs({retention_days}, {batch})")


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


@pytest.mark.parametrize("batch", [1, 3, 5_000])
async def test_what_is_unfinished_stays(connection: asyncpg.Connection, batch: int) -> None:
    """The finished rows of its day are deleted with their attempts, in any number of batches."""
    webhooks = await old_webhooks(connection, 14)
    pending, failed, dead, *done = webhooks
    await accept(connection, pending)
    await finish(connection, End(failed, "failed", 1, ERROR), *(End(w) for w in done))
    await finish(connection, End(dead, "failed", 1, ERROR))
    await finish(connection, End(dead, "failed", 2, ERROR))
    await bury(connection, dead)

    await clean(connection, batch=batch)

    rows = await connection.fetch("SELECT id FROM webhook_delivery_log ORDER BY id")
    assert [row["id"] for row in rows] == [pending.id, failed.id, dead.id]
    assert await left(connection) == (3, 3)


async def test_cleaning_again_changes_nothing(connection: asyncpg.Connection) -> None:
    """It may run every hour, and in several processes."""
    waiting, done = await old_webhooks(connection, 2)
    await accept(connection, waiting)
    await finish(connection, End(done))

    for _ in range(3):
        await clean(connection)

    assert await left(connection) == (1, 0)


async def test_several_clean_at_once(connection: asyncpg.Connection, connect: Connect) -> None:
    """Each processor cleans; a row that another has removed makes none fail."""
    for age in range(40, 46):
        webhooks = await old_webhooks(connection, 30, age_days=age)
        await finish(connection, *(End(w) for w in webhooks[1:]))
        if age % 2:
            await accept(connection, webhooks[0])
    cleaners = [await connect() for _ in range(4)]

    await asyncio.gather(*(clean(cleaner, batch=5) for cleaner in cleaners))

    assert [await left(connection, age) for age in range(40, 46)] == [None, (1, 0)] * 3


@pytest.mark.parametrize(("retention", "batch"), [(0, 10), (-1, 10), (30, 0)])
async def test_nonsense_is_refused(
    connection: asyncpg.Connection, retention: int, batch: int
) -> None:
    """A wrong argument does not empty the log, and does not run forever."""
    with pytest.raises(asyncpg.RaiseError, match="at least 1"):
        await clean(connection, retention, batch)


async def test_claims_are_kept_for_a_week(connection: asyncpg.Connection) -> None:
    """After that a copy of an event is its own event."""
    await connection.executemany(
        "INSERT INTO webhook_inbox VALUES ($1, $2, $3, now() - $4::interval)",
        [(ORG, f"{days}", Webhook().id, timedelta(days=days)) for days in (0, 6, 8, 20, 400)],
    )

    await clean(connection, batch=1)

    rows = await connection.fetch("SELECT dedup_key FROM webhook_inbox ORDER BY claimed_at DESC")
    assert [row["dedup_key"] for row in rows] == ["0", "6"]


async def test_the_ledger_keeps_the_whole_count_of_a_life(connection: asyncpg.Connection) -> None:
    """The newest row of a gateway's life has the totals; the others are deleted after a day."""
    await connection.executemany(
        "INSERT INTO webhook_gateway_ledger VALUES ($1, now() - $2::interval, $3)",
        [
            (LIFE, timedelta(days=3), 5),
            (LIFE, timedelta(days=2), 9),
            (LIFE, timedelta(hours=2), 12),
            (LIFE, timedelta(hours=1), 12),
            (ORG, timedelta(days=2), 7),
            (ORG, timedelta(days=31), 3),
            (Webhook().id, timedelta(days=31), 3),
        ],
    )

    await clean(connection)

    rows = await connection.fetch(
        "SELECT gateway_instance_id, max(accepted) FROM webhook_gateway_ledger GROUP BY 1 ORDER BY"
        " 1"
    )
    assert [tuple(row) for row in rows] == [(ORG, 7), (LIFE, 12)]
    assert await connection.fetchval("SELECT count(*) FROM webhook_gateway_ledger") == 3


async def test_a_reader_stops_neither_the_writers_nor_the_cleaning(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A report on an old day keeps it for now. Meanwhile today's webhooks are written, each within
    a second; the call ends, cleans the rest, and the next one drops the day.
    """
    [read] = await old_webhooks(connection, 1)
    waiting, done = await old_webhooks(connection, 2, age_days=39)
    await accept(connection, waiting)
    await finish(connection, End(read), End(done))
    reader, cleaner, writer = await connect(), await connect(), await connect()
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT * FROM webhook_delivery_log WHERE id = $1", read.id)

    cleaning = asyncio.create_task(clean(cleaner))
    longest_s, written = 0.0, 0
    while not cleaning.done():
        started = asyncio.get_running_loop().time()
        await finish(writer, End(Webhook()))
        longest_s = max(longest_s, asyncio.get_running_loop().time() - started)
        written += 1
    await cleaning

    assert longest_s < 1.5
    assert written > 5
    assert await left(connection, 40) == (1, 1)
    assert await left(connection, 39) == (1, 0)
    await reading.rollback()
    await clean(cleaner)
    assert await left(connection, 40) is None


async def test_a_drop_waits_for_a_short_reader(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A short read only delays it."""
    [read] = await old_webhooks(connection, 1)
    await finish(connection, End(read))
    reader, cleaner = await connect(), await connect()
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT * FROM webhook_delivery_log WHERE id = $1", read.id)

    cleaning = asyncio.create_task(clean(cleaner))
    await eventually(lambda: _waits_for_a_lock(connection))
    await reading.rollback()
    await cleaning

    assert await left(connection) is None


async def _waits_for_a_lock(connection: asyncpg.Connection) -> bool:
    waiting: int = await connection.fetchval(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    )
    return waiting > 0
