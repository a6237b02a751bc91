"""Tests for pausing and its audit."""

import asyncio

import asyncpg

from tests.integration.migrations.conftest import Connect


async def change(
    connection: asyncpg.Connection, actor: str, reason: str | None, *, paused: bool
) -> asyncpg.Record:
    row = await connection.fetchrow(
        "SELECT * FROM set_webhook_processing($1, $2, 'service', $3)", paused, actor, reason
    )
    assert row is not None
    return row


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
