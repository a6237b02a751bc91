"""Tests for pausing, its audit, and the heartbeats of processors."""

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


async def heartbeat(
    connection: asyncpg.Connection, processor: UUID, *, in_flight: int, is_paused: bool
) -> list[asyncpg.Record]:
    """Write a processor's heartbeat, and return all rows after it."""
    await connection.execute(
        "SELECT record_webhook_heartbeat($1, 5, $2, $3, $4)",
        processor,
        in_flight,
        is_paused,
        STARTED_AT,
    )
    return await connection.fetch("SELECT * FROM webhook_processors")


async def test_a_pause_is_audited_and_notified(connection: asyncpg.Connection) -> None:
    """The row, the audit and the notification are one transaction."""
    notified = asyncio.Event()
    await connection.add_listener("webhook_processing", lambda *_: notified.set())

    paused = await change(connection, "ada", "a migration", paused=True)
    async with asyncio.timeout(60):
        await notified.wait()
    resumed = await change(connection, "bob", None, paused=False)

    names = ("paused", "changed_by", "reason")
    assert [paused[name] for name in names] == [True, "ada", "a migration"]
    assert [resumed[name] for name in names] == [False, "bob", None]
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


async def test_a_second_pause_changes_nothing(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """The row keeps who paused first, and why; a simultaneous one waits for that answer."""
    other = await connect()
    async with connection.transaction():
        first = await change(connection, "ada", "a migration", paused=True)
        beside = asyncio.ensure_future(change(other, "bob", "b", paused=True))
        await asyncio.wait({beside}, timeout=0.2)
        assert not beside.done()

    after = await change(connection, "cleo", "to be sure", paused=True)

    assert first == await beside == after
    assert await connection.fetchval("SELECT count(*) FROM webhook_audit") == 1


async def test_more_in_flight_than_prefetched_is_rejected(connection: asyncpg.Connection) -> None:
    """So the sum of webhooks in flight never exceeds processors times prefetch."""
    with pytest.raises(asyncpg.CheckViolationError):
        await heartbeat(connection, uuid4(), in_flight=6, is_paused=False)
