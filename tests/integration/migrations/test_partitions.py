"""Tests for ensure_webhook_partitions: days are made ahead, and every row goes into its own."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, accept, finish

DAY = date(2030, 3, 31)
PARENTS = ("webhook_delivery_log", "webhook_delivery_attempts")


async def ensured(connection: asyncpg.Connection, first: date, last: date) -> int:
    made: int = await connection.fetchval("SELECT ensure_webhook_partitions($1, $2)", first, last)
    return made


async def partitions(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch("SELECT inhrelid::regclass::text AS name FROM pg_inherits")
    return {row["name"] for row in rows if not row["name"].endswith(("_pkey", "_idx"))}


async def test_a_week_is_there_from_the_start(connection: asyncpg.Connection) -> None:
    """Yesterday, today and seven days ahead, for both tables; a second call makes none."""
    today = datetime.now(UTC).date()
    days = [today + timedelta(days=n) for n in range(-1, 8)]

    made = await connection.fetchval("SELECT ensure_webhook_partitions()")

    assert made == 0
    listed = await connection.fetch("SELECT day FROM webhook_partition_days()")
    assert [row["day"] for row in listed] == days
    assert await partitions(connection) >= {
        f"{parent}_{day:%Y%m%d}" for parent in PARENTS for day in days
    }


async def test_only_what_is_missing_is_made(connection: asyncpg.Connection) -> None:
    """An existing day is unchanged."""
    first = await ensured(connection, DAY, DAY + timedelta(days=1))
    more = await ensured(connection, DAY - timedelta(days=1), DAY + timedelta(days=2))

    assert (first, more) == (4, 4)


async def test_two_at_once_make_each_day_once(connect: Connect) -> None:
    """Each processor makes them; none fails because another was faster."""
    connections = [await connect() for _ in range(5)]

    made = await asyncio.gather(*(ensured(c, DAY, DAY + timedelta(days=3)) for c in connections))

    assert sorted(made) == [0, 0, 0, 0, 8]


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
async def test_every_row_lands_in_its_day(connection: asyncpg.Connection, zone: str) -> None:
    """A day is one of UTC, from its first millisecond to its last."""
    await connection.execute(f"SET timezone = '{zone}'")
    await ensured(connection, DAY, DAY + timedelta(days=1))
    midnight = datetime(2030, 4, 1, tzinfo=UTC)
    moments = {
        midnight - timedelta(days=1): "20300331",
        midnight - timedelta(milliseconds=1): "20300331",
        midnight: "20300401",
        midnight + timedelta(days=1) - timedelta(milliseconds=1): "20300401",
    }

    for moment, day in moments.items():
        webhook = Webhook(id=await connection.fetchval("SELECT webhook_id_at($1)", moment))
        await finish(connection, End(webhook))

        places = await connection.fetch(
            "SELECT tableoid::regclass::text AS place FROM webhook_delivery_log WHERE id = $1"
            " UNION ALL SELECT tableoid::regclass::text FROM webhook_delivery_attempts"
            " WHERE delivery_id = $1",
            webhook.id,
        )
        assert [row["place"] for row in places] == [f"{parent}_{day}" for parent in PARENTS]


async def test_a_row_of_no_day_is_refused(connection: asyncpg.Connection) -> None:
    """There is no default partition that would hide a missing day."""
    with pytest.raises(asyncpg.CheckViolationError, match="no partition"):
        await accept(connection, Webhook(id=UUID("0195f9ce-1234-7abc-8def-0123456789ab")))


async def test_partitions_are_like_their_parent(connection: asyncpg.Connection) -> None:
    """Storage, room for updates, checks, generated columns and every index exist."""
    await ensured(connection, DAY, DAY)

    storage = await connection.fetchval(
        "SELECT attstorage FROM pg_attribute"
        " WHERE attrelid = 'webhook_delivery_log_20300331'::regclass AND attname = 'event_data'"
    )
    options = await connection.fetch(
        "SELECT reloptions FROM pg_class WHERE relname ~ '_20300331$' AND relkind = 'r'"
    )
    indexes = await connection.fetch(
        "SELECT parent.relname AS table, count(*) AS count FROM pg_index"
        " JOIN pg_class AS parent ON parent.oid = indrelid"
        " WHERE parent.relname = 'webhook_delivery_log_20300331' AND indisvalid"
        " AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid) GROUP BY 1"
    )
    parents = await connection.fetchval(
        "SELECT count(*) FROM pg_index WHERE indrelid = 'webhook_delivery_log'::regclass"
    )

    assert storage == b"e"
    assert [row["reloptions"] for row in options] == [["fillfactor=80"], ["fillfactor=80"]]
    assert indexes[0]["count"] == parents == 7


async def test_a_reader_holds_up_neither_the_maker_nor_the_writers(connect: Connect) -> None:
    """A report that runs for an hour blocks neither making a day nor any webhook."""
    reader, maker, writer = await connect(), await connect(), await connect()
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT count(*) FROM webhook_delivery_log")

    async with asyncio.timeout(60):
        made = await ensured(maker, DAY, DAY)
        await finish(writer, End(Webhook()))

    assert made == 2
    await reading.rollback()
