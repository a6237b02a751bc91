"""Tests for days of the log that are created when a webhook needs them, and dropped later."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import created_at, job_id_of
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, bury, finish

TODAY = datetime.now(UTC).date()
PAST, FUTURE = TODAY - timedelta(days=90), TODAY + timedelta(days=90)
EARLIEST = UUID("00000000-0000-7000-8000-000000000000")
LATEST = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")


async def ensure(connection: asyncpg.Connection, *days: date) -> None:
    await connection.execute("SELECT ensure_webhook_partitions_for($1)", days)


async def days_of(connection: asyncpg.Connection) -> set[date]:
    return {row["day"] for row in await connection.fetch("SELECT * FROM webhook_partition_days()")}


async def extra_days(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval("SELECT webhook_extra_partition_count()")
    return count


async def webhook_of(connection: asyncpg.Connection, day: date) -> Webhook:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return Webhook(id=await connection.fetchval("SELECT webhook_id_at($1)", noon))


async def age(connection: asyncpg.Connection, days: int) -> None:
    """Backdate the creation of the extra days by this many days."""
    await connection.execute(
        "UPDATE webhook_extra_partitions SET created_at = created_at - make_interval(days => $1)",
        days,
    )


async def test_only_days_that_are_missing_are_made_and_noted(
    connection: asyncpg.Connection,
) -> None:
    """A usual day that was dropped is made again, and is no extra one."""
    tomorrow = TODAY + timedelta(days=1)
    await connection.execute(
        f"DROP TABLE webhook_delivery_log_{tomorrow:%Y%m%d}, "
        f"webhook_delivery_attempts_{tomorrow:%Y%m%d}"
    )

    for _ in range(2):
        await ensure(connection, PAST, TODAY, tomorrow, FUTURE, PAST)

    assert {PAST, TODAY, tomorrow, FUTURE} <= await days_of(connection)
    assert await extra_days(connection) == 2


@pytest.mark.parametrize("job_id", [EARLIEST, LATEST])
async def test_every_id_has_a_day(connection: asyncpg.Connection, job_id: UUID) -> None:
    """From the first to the last that 48 bits can express, in SQL and Python."""
    known = job_id_of(str(job_id))
    assert known is not None
    await ensure(connection, created_at(known).date())

    await finish(connection, End(Webhook(id=job_id)))

    row = await connection.fetchrow("SELECT * FROM webhook_delivery_log WHERE id = $1", job_id)
    assert row is not None
    assert (row["status"], row["created_at"]) == ("completed", created_at(known))


async def test_many_at_once_make_each_day_once(connect: Connect) -> None:
    """Each processor requests what it needs; none fails because another was faster."""
    connections = [await connect() for _ in range(5)]

    await asyncio.gather(*(ensure(one, PAST, FUTURE) for one in connections))

    assert await extra_days(connections[0]) == 2


async def test_an_extra_day_is_as_closed_as_all_others(connection: asyncpg.Connection) -> None:
    """Row level security is forced on its partitions, and no role has grants on them."""
    await ensure(connection, PAST)

    rows = await connection.fetch(
        "SELECT relrowsecurity, relforcerowsecurity, relacl FROM pg_class"
        " WHERE relkind = 'r' AND relname ~ $1",
        f"{PAST:_%Y%m%d}$",
    )

    assert [tuple(row) for row in rows] == [(True, True, None)] * 2


async def test_there_are_100_extra_days_at_most(connection: asyncpg.Connection) -> None:
    """One more is refused with its name; existing ones can still be requested."""
    days = [FUTURE + timedelta(days=n) for n in range(100)]
    await ensure(connection, *days)

    with pytest.raises(asyncpg.ConfigurationLimitExceededError, match=f"{PAST}"):
        await ensure(connection, days[0], PAST)

    await ensure(connection, *days, TODAY)
    assert PAST not in await days_of(connection)
    assert await extra_days(connection) == 100


async def test_one_that_was_dropped_by_hand_does_not_count(connection: asyncpg.Connection) -> None:
    """An administrator who drops one has room for another."""
    await ensure(connection, PAST, FUTURE)
    await connection.execute(
        f"DROP TABLE webhook_delivery_log_{PAST:%Y%m%d}, webhook_delivery_attempts_{PAST:%Y%m%d}"
    )

    assert await extra_days(connection) == 1


@pytest.mark.parametrize("day", [PAST, FUTURE])
async def test_it_is_dropped_when_the_retention_has_passed_since_it_was_made(
    connection: asyncpg.Connection, day: date
) -> None:
    """It stays until then: finished webhooks in it are not run again when they are redelivered."""
    await ensure(connection, day)
    await finish(connection, End(await webhook_of(connection, day)))
    await connection.execute("CALL cleanup_old_webhook_logs(30)")
    kept = await days_of(connection)
    await age(connection, 31)

    await connection.execute("CALL cleanup_old_webhook_logs(30)")

    assert day in kept
    assert day not in await days_of(connection)
    assert await extra_days(connection) == 0


@pytest.mark.parametrize("day", [PAST, FUTURE])
async def test_it_stays_while_somebody_must_decide(
    connection: asyncpg.Connection, day: date
) -> None:
    """An unresolved dead letter of it stays; the finished rows are deleted."""
    await ensure(connection, day)
    letter = await webhook_of(connection, day)
    done = Webhook(id=UUID(int=letter.id.int + 1))
    await bury(connection, letter)
    await finish(connection, End(done))
    await age(connection, 31)

    await connection.execute("CALL cleanup_old_webhook_logs(30)")

    left = await connection.fetch(
        "SELECT id FROM webhook_delivery_log WHERE id = ANY ($1)", [letter.id, done.id]
    )
    assert [row["id"] for row in left] == [letter.id]


async def test_statistics_and_ledger_agree_about_any_day(connection: asyncpg.Connection) -> None:
    """The triggers' counts equal a recount of the log, and no row is missing."""
    for day in (TODAY - timedelta(days=10), PAST, TODAY + timedelta(days=9), FUTURE):
        await ensure(connection, day)
        await finish(connection, End(await webhook_of(connection, day)))
    await connection.execute("SELECT fold_webhook_stats(1000), fold_webhook_gateway_rows()")
    statistics = "SELECT * FROM webhook_stats ORDER BY 1, 2, 3, 4"
    counted = await connection.fetch(statistics)
    rows = await connection.fetchval("SELECT sum(inserted) FROM webhook_gateway_rows")

    await connection.execute("SELECT rebuild_webhook_stats()")

    assert counted == await connection.fetch(statistics)
    assert rows == 4


async def test_a_writer_waits_for_no_day(connect: Connect) -> None:
    """A maker that waits for its lock stops after two seconds, and blocks no one meanwhile."""
    blocker, maker, writer = await connect(), await connect(), await connect()
    blocking = blocker.transaction()
    await blocking.start()
    await blocker.execute("LOCK webhook_delivery_log IN SHARE UPDATE EXCLUSIVE MODE")
    making = asyncio.create_task(ensure(maker, PAST))

    await finish(writer, End(Webhook()))

    with pytest.raises(asyncpg.LockNotAvailableError):
        await making
    await blocking.rollback()
    await ensure(maker, PAST)
