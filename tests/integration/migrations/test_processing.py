"""The database's record of a pause, of who ordered it, and of the running processors."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect

STARTED_AT = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)


async def change(
    connection: asyncpg.Connection, actor: str, reason: str | None, *, paused: bool
) -> asyncpg.Record:
    row = await connection.fetchrow(
        "SELECT * FROM set_webhook_processing($1, $2, 'service', $3)", paused, actor, reason
    )
    assert row is not None
    return row


async def note(
    connection: asyncpg.Connection, processor: UUID, *, in_flight: int, is_paused: bool
) -> list[asyncpg.Record]:
    """Write a processor's report, and return all rows after it."""
    await connection.execute(
        "SELECT record_webhook_heartbeat($1, 5, $2, $3, $4)",
        processor,
        in_flight,
        is_paused,
        STARTED_AT,
    )
    return await connection.fetch("SELECT * FROM webhook_processors")


async def test_at_first_nothing_is_paused_and_nobody_has_changed_it(
    connection: asyncpg.Connection,
) -> None:
    """There is one row, also after an attempt to add another."""
    rows = await connection.fetch("SELECT * FROM webhook_processing")

    assert [tuple(row) for row in rows] == [(True, False, None, None, None)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO webhook_processing DEFAULT VALUES")


async def test_a_change_is_audited_and_told(connection: asyncpg.Connection) -> None:
    """The row, the audit and the notification are one transaction."""
    told = asyncio.Event()
    await connection.add_listener("webhook_processing", lambda *_: told.set())

    paused = await change(connection, "ada", "a migration", paused=True)
    async with asyncio.timeout(60):
        await told.wait()
    resumed = await change(connection, "bob", None, paused=False)

    assert (paused["paused"], paused["changed_by"], paused["reason"]) == (
        True,
        "ada",
        "a migration",
    )
    assert (resumed["paused"], resumed["changed_by"], resumed["reason"]) == (False, "bob", None)
    audit = await connection.fetch("SELECT * FROM webhook_audit ORDER BY id")
    assert [(row["action"], row["actor"], row["reason"]) for row in audit] == [
        ("pause", "ada", "a migration"),
        ("resume", "bob", None),
    ]
    assert [row["at"] for row in audit] == [paused["changed_at"], resumed["changed_at"]]
    assert {(row["role"], row["org_id"], row["job_id"]) for row in audit} == {
        ("service", None, None)
    }
    await connection.reset()


async def test_to_pause_what_is_paused_changes_nothing(connection: asyncpg.Connection) -> None:
    """The row keeps who it was, and why."""
    first = await change(connection, "ada", "a migration", paused=True)

    second = await change(connection, "bob", "to be sure", paused=True)

    assert second == first
    assert await connection.fetchval("SELECT count(*) FROM webhook_audit") == 1


async def test_two_who_pause_at_once_are_one_change(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """The second waits for the first, and gets its answer."""
    other = await connect()

    async with connection.transaction():
        first = await change(connection, "ada", "a", paused=True)
        second = asyncio.ensure_future(change(other, "bob", "b", paused=True))
        await asyncio.wait({second}, timeout=0.2)
        assert not second.done()

    assert await second == first
    assert await connection.fetchval("SELECT count(*) FROM webhook_audit") == 1


async def test_a_processor_has_one_row(connection: asyncpg.Connection) -> None:
    """It is renewed, and those of the day before yesterday are deleted."""
    me = uuid4()
    await connection.execute(
        "INSERT INTO webhook_processors VALUES ($1, 5, 0, false, now(), now() - interval '25 h')",
        uuid4(),
    )

    [first] = await note(connection, me, in_flight=3, is_paused=False)
    [row] = await note(connection, me, in_flight=0, is_paused=True)

    assert (row["id"], row["in_flight"], row["is_paused"]) == (me, 0, True)
    assert first["started_at"] == row["started_at"] == STARTED_AT
    assert row["seen_at"] > first["seen_at"]


async def test_more_in_flight_than_prefetched_is_refused(connection: asyncpg.Connection) -> None:
    """The table itself ensures that `active` never exceeds processors times prefetch."""
    with pytest.raises(asyncpg.CheckViolationError):
        await note(connection, uuid4(), in_flight=6, is_paused=False)
