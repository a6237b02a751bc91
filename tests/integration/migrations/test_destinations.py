"""Tests for the states of destinations that people decide."""

import asyncio
from uuid import uuid4

import asyncpg


async def declare(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(
        "SELECT record_webhook_heartbeat($1, 0, false, now(), "
        "jsonb_build_array(jsonb_build_object('name', $2::text, 'state', 'closed')))",
        uuid4(),
        name,
    )


async def change(
    connection: asyncpg.Connection, state: str | None, actor: str = "ada", name: str = "shop"
) -> bool:
    is_known = await connection.fetchval(
        "SELECT set_webhook_destination($1, $2, $3, 'service', 'a test')", name, state, actor
    )
    return bool(is_known)


async def test_a_decision_is_audited_and_notified(connection: asyncpg.Connection) -> None:
    """The row, the audit and the notification are one transaction; null ends the decision."""
    notified = asyncio.Event()
    await connection.add_listener("webhook_destinations", lambda *_: notified.set())
    await declare(connection, "shop")

    assert await change(connection, "open")
    async with asyncio.timeout(60):
        await notified.wait()
    row = await connection.fetchrow("SELECT * FROM webhook_destinations")
    assert await change(connection, None, "bob")

    assert row is not None
    assert (row["name"], row["forced_state"], row["changed_by"]) == ("shop", "open", "ada")
    assert await connection.fetchval("SELECT forced_state FROM webhook_destinations") is None
    audit = await connection.fetch(
        "SELECT action, actor, role, org_id, reason, details->>'destination' AS destination,"
        " details->>'forced_state' AS state FROM webhook_audit ORDER BY id"
    )
    assert [tuple(one) for one in audit] == [
        ("set_destination", "ada", "service", None, "a test", "shop", "open"),
        ("set_destination", "bob", "service", None, "a test", "shop", None),
    ]
    await connection.reset()


async def test_the_same_decision_twice_changes_nothing(connection: asyncpg.Connection) -> None:
    await declare(connection, "shop")
    await change(connection, "open")
    before = await connection.fetch("SELECT * FROM webhook_destinations")

    await change(connection, "open", "bob")

    assert await connection.fetch("SELECT * FROM webhook_destinations") == before
    assert await connection.fetchval("SELECT count(*) FROM webhook_audit") == 1
