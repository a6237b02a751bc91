"""Tests for the days of the log: the time of an id, and the partitions created for it."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import created_at, job_id_of, new_job_id
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, accept, bury, clean, finish, row_of

TODAY = datetime.now(UTC).date()
PAST, FUTURE = TODAY - timedelta(days=90), TODAY + timedelta(days=90)
DAY = date(2030, 3, 31)
EARLIEST = UUID("00000000-0000-7000-8000-000000000000")
LATEST = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")
PARENTS = ("webhook_delivery_log", "webhook_delivery_attempts")


async def ensure(connection: asyncpg.Connection, first: date, last: date) -> int:
    created: int = await connection.fetchval(
        "SELECT ensure_webhook_partitions($1, $2)", first, last
    )
    return created


async def ensure_for(connection: asyncpg.Connection, *days: date) -> None:
    await connection.execute("SELECT ensure_webhook_partitions_for($1)", days)


async def drop(connection: asyncpg.Connection, day: date, *parents: str) -> None:
    for parent in parents or PARENTS:
        await connection.execute(f"DROP TABLE {parent}_{day:%Y%m%d}")


async def days_of(connection: asyncpg.Connection) -> list[date]:
    return [row["day"] for row in await connection.fetch("SELECT * FROM webhook_partition_days()")]


async def extra_days(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval("SELECT webhook_extra_partition_count()")
    return count


async def webhook_at(connection: asyncpg.Connection, moment: datetime) -> Webhook:
    return Webhook(id=await connection.fetchval("SELECT webhook_id_at($1)", moment))


# The time of an id


async def test_sql_and_python_read_the_same_time_of_an_id(connection: asyncpg.Connection) -> None:
    """This is exact to the millisecond for any id, in any time zone of the session."""
    await connection.execute("SET timezone = 'Pacific/Auckland'")
    chance = random.Random(7)
    day = datetime(2026, 3, 29, tzinfo=UTC)
    milliseconds = [
        0,
        *(int(day.timestamp() * 1000) + n for n in (-1, 0, 1)),
        *(chance.randrange(7_258_118_400_000) for _ in range(1_000)),
    ]
    ids = [UUID(int=n << 80 | 7 << 76 | 1 << 63 | chance.getrandbits(62)) for n in milliseconds]
    ids += [new_job_id() for _ in range(200)]

    rows = await connection.fetch(
        "SELECT id, moment, webhook_id_at(moment) AS low,"
        " webhook_id_at(moment + interval '1 ms') AS high"
        " FROM unnest($1::uuid[]) AS id, webhook_created_at(id) AS moment",
        ids,
    )

    for row in rows:
        job_id = job_id_of(str(row["id"]))
        assert job_id is not None
        assert created_at(job_id) == row["moment"]
        # So a range of time is a range of ids.
        assert row["low"] <= row["id"] < row["high"]


# The usual days


async def test_a_week_exists_from_the_start(connection: asyncpg.Connection) -> None:
    """Yesterday, today and seven days ahead, for both tables; a second call creates none."""
    days = [TODAY + timedelta(days=n) for n in range(-1, 8)]

    created = await connection.fetchval("SELECT ensure_webhook_partitions()")

    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relispartition"
    )
    assert created == 0
    assert await days_of(connection) == days
    assert {row["relname"] for row in rows} == {
        f"{parent}_{day:%Y%m%d}" for parent in PARENTS for day in days
    }


async def test_simultaneous_callers_create_each_day_once(connect: Connect) -> None:
    """No processor fails because another was faster; existing days are unchanged."""
    connections = [await connect() for _ in range(5)]
    await ensure(connections[0], DAY, DAY)

    created = await asyncio.gather(
        *(ensure(c, DAY - timedelta(1), DAY + timedelta(2)) for c in connections)
    )
    await asyncio.gather(*(ensure_for(c, PAST, FUTURE) for c in connections))

    assert sorted(created) == [0, 0, 0, 0, 6]
    assert await extra_days(connections[0]) == 2


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Kiritimati"])
async def test_every_row_is_in_the_partition_of_its_day(
    connection: asyncpg.Connection, zone: str
) -> None:
    """A day is one of UTC, from its first millisecond to its last, in any zone of the session."""
    await connection.execute(f"SET timezone = '{zone}'")
    await ensure(connection, DAY, DAY + timedelta(days=1))
    midnight = datetime(2030, 4, 1, tzinfo=UTC)
    moments = {
        midnight - timedelta(days=1): "20300331",
        midnight - timedelta(milliseconds=1): "20300331",
        midnight: "20300401",
        midnight + timedelta(days=1) - timedelta(milliseconds=1): "20300401",
    }

    for moment, day in moments.items():
        webhook = await webhook_at(connection, moment)
        await finish(connection, End(webhook))

        tables = await connection.fetch(
            "SELECT tableoid::regclass::text AS name FROM webhook_delivery_log WHERE id = $1"
            " UNION ALL SELECT tableoid::regclass::text FROM webhook_delivery_attempts"
            " WHERE delivery_id = $1",
            webhook.id,
        )
        assert [table["name"] for table in tables] == [f"{parent}_{day}" for parent in PARENTS]


async def test_a_row_without_a_partition_is_rejected(connection: asyncpg.Connection) -> None:
    """There is no default partition that would hide a missing day."""
    with pytest.raises(asyncpg.CheckViolationError, match="no partition"):
        await accept(connection, Webhook(id=UUID("0195f9ce-1234-7abc-8def-0123456789ab")))


async def test_partitions_are_like_their_parent(connection: asyncpg.Connection) -> None:
    """Storage, room for updates and every index exist."""
    await ensure(connection, DAY, DAY)

    storage = await connection.fetch(
        "SELECT DISTINCT attstorage, attcompression FROM pg_attribute WHERE attrelid IN"
        " ('webhook_delivery_log_20300331'::regclass, 'webhook_delivery_log'::regclass)"
        " AND attname = 'event_data'"
    )
    options = await connection.fetch(
        "SELECT reloptions FROM pg_class WHERE relname ~ '_20300331$' AND relkind = 'r'"
    )
    [(attached, parents)] = await connection.fetch(
        "SELECT count(*) FILTER (WHERE indrelid = 'webhook_delivery_log_20300331'::regclass"
        " AND indisvalid AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)),"
        " count(*) FILTER (WHERE indrelid = 'webhook_delivery_log'::regclass) FROM pg_index"
    )

    # Uncompressed, or by lz4 if the server has it.
    assert [tuple(row) for row in storage] in ([(b"e", b"\x00")], [(b"x", b"l")])
    assert [row["reloptions"] for row in options] == [["fillfactor=80"]] * 2
    assert attached == parents == 7


async def test_days_ahead_are_counted_to_the_first_gap(connection: asyncpg.Connection) -> None:
    """A missing day ends the count, whatever days follow; -1 means that today is missing."""
    ahead = "SELECT webhook_partition_days_ahead()"
    await ensure(connection, TODAY, TODAY + timedelta(9))
    nine = await connection.fetchval(ahead)

    await drop(connection, TODAY + timedelta(3), "webhook_delivery_attempts")
    two = await connection.fetchval(ahead)
    await drop(connection, TODAY, "webhook_delivery_log")
    none = await connection.fetchval(ahead)

    assert (nine >= 9, two, none) == (True, 2, -1)


async def test_creating_a_day_and_reading_do_not_wait_for_each_other(connect: Connect) -> None:
    """A report that runs for an hour blocks neither a new day nor any webhook."""
    reader, creator, writer = await connect(), await connect(), await connect()
    await reader.execute("BEGIN")
    await reader.fetch("SELECT count(*) FROM webhook_delivery_log")

    created = await ensure(creator, DAY, DAY)
    await finish(writer, End(Webhook()))

    assert created == 2


# Extra days, created because a webhook needs them


async def test_only_missing_days_are_created(connection: asyncpg.Connection) -> None:
    """A usual day that is created again is not an extra one; a dropped extra day is none."""
    tomorrow = TODAY + timedelta(days=1)
    await drop(connection, tomorrow)

    for _ in range(2):
        await ensure_for(connection, PAST, TODAY, tomorrow, FUTURE, PAST)

    assert {PAST, TODAY, tomorrow, FUTURE} <= set(await days_of(connection))
    assert await extra_days(connection) == 2
    await drop(connection, PAST)
    assert await extra_days(connection) == 1


async def test_every_id_can_have_a_partition(connection: asyncpg.Connection) -> None:
    """From the first to the last that 48 bits can express, in SQL and Python."""
    for job_id in (EARLIEST, LATEST):
        known = job_id_of(str(job_id))
        assert known is not None
        await ensure_for(connection, created_at(known).date())

        await finish(connection, End(Webhook(id=job_id)))

        row = await row_of(connection, Webhook(id=job_id))
        assert (row["status"], row["created_at"]) == ("completed", created_at(known))


async def test_there_are_at_most_100_extra_days(connection: asyncpg.Connection) -> None:
    """The error for one more names it; existing ones can still be requested."""
    days = [FUTURE + timedelta(days=n) for n in range(100)]
    await ensure_for(connection, *days)

    with pytest.raises(asyncpg.ConfigurationLimitExceededError, match=f"{PAST}"):
        await ensure_for(connection, days[0], PAST)

    await ensure_for(connection, *days, TODAY)
    assert PAST not in await days_of(connection)
    assert await extra_days(connection) == 100


@pytest.mark.parametrize("day", [PAST, FUTURE])
async def test_an_extra_day_is_kept_for_the_retention_since_it_was_created(
    connection: asyncpg.Connection, day: date
) -> None:
    """A redelivery is not run again meanwhile; an unresolved dead letter stays longer."""
    await ensure_for(connection, day)
    done = await webhook_at(connection, datetime(day.year, day.month, day.day, tzinfo=UTC))
    dead = Webhook(id=UUID(int=done.id.int + 1))
    await finish(connection, End(done))
    await bury(connection, dead)

    async def rows_after_cleanup() -> list[UUID]:
        await clean(connection)
        rows = await connection.fetch("SELECT id FROM webhook_delivery_log ORDER BY id")
        return [row["id"] for row in rows]

    assert await rows_after_cleanup() == [done.id, dead.id]
    await connection.execute(
        "UPDATE webhook_extra_partitions SET created_at = created_at - interval '31 days'"
    )
    assert await rows_after_cleanup() == [dead.id]
    await connection.execute("UPDATE webhook_delivery_log SET resolution = 'discarded'")
    assert await rows_after_cleanup() == []
    assert day not in await days_of(connection)
    assert await extra_days(connection) == 0


async def test_a_waiting_creator_blocks_no_writer(connect: Connect) -> None:
    """It gives up its lock after two seconds."""
    blocker, creator, writer = await connect(), await connect(), await connect()
    await blocker.execute("BEGIN")
    await blocker.execute("LOCK webhook_delivery_log IN SHARE UPDATE EXCLUSIVE MODE")
    creating = asyncio.create_task(ensure_for(creator, PAST))

    await finish(writer, End(Webhook()))

    with pytest.raises(asyncpg.LockNotAvailableError):
        await creating
    await blocker.execute("ROLLBACK")
    await ensure_for(creator, PAST)
