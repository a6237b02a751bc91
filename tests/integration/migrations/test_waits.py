"""Waits in the database: written with or without an attempt, deleted with their webhooks."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    ORG,
    End,
    Webhook,
    accept,
    begin,
    bury,
    clean,
    finish,
    hold,
    row_of,
    wait_of,
)
from tests.support.eventually import eventually

FAILED = ("ValueError", "no")


def failed(webhook: Webhook, attempt: int = 1, **wait: object) -> End:
    return End(webhook, "failed", attempt, FAILED, wait=wait)


async def lease(connection: asyncpg.Connection, webhook: Webhook) -> datetime:
    """Lease a wait, as a sweeper does before it publishes the message."""
    until: datetime = await connection.fetchval(
        "UPDATE webhook_waits SET leased_until = now() + interval '30 s' WHERE delivery_id = $1"
        " RETURNING leased_until",
        webhook.id,
    )
    return until


async def test_a_wait_commits_with_its_failed_attempt(connection: asyncpg.Connection) -> None:
    """With the exact body, and only for webhooks that failed in this call."""
    waiting, copy, done = Webhook(dedup_key="a"), Webhook(dedup_key="a"), Webhook()
    await finish(connection, failed(waiting, delay_ms=90_000), End(done))
    await finish(connection, failed(copy))

    row = await wait_of(connection, waiting)

    assert row is not None
    assert (row["attempt"], row["reason"], row["body"]) == (2, "retry", b'{"type":"hang"}')
    assert (row["org_id"], row["leased_until"]) == (ORG, None)
    assert row["delay_s"] == pytest.approx(90, abs=1)
    assert (await row_of(connection, waiting))["status"] == "failed"
    assert await wait_of(connection, copy) is None, "it ended as a duplicate"
    assert await connection.fetchval("SELECT count(*) FROM webhook_waits") == 1


async def test_a_redelivered_failure_does_not_change_its_wait(
    connection: asyncpg.Connection,
) -> None:
    webhook = Webhook()
    await finish(connection, failed(webhook))
    before = await wait_of(connection, webhook)

    await finish(connection, failed(webhook, delay_ms=1))

    assert await wait_of(connection, webhook) == before


async def test_without_an_attempt_the_webhook_is_as_before(connection: asyncpg.Connection) -> None:
    """Not processing any more, without a used attempt, and with its payload to show."""
    first, later, new = Webhook(), Webhook(), Webhook()
    await accept(connection, first, data="{}")
    await begin(connection, first)
    await finish(connection, End(later, "failed", 1, FAILED))
    await begin(connection, later, attempt=2)

    recorded = await hold(
        connection,
        *(End(first, wait={"reason": "destination", "destination": "crm"}), End(later, attempt=2)),
        End(new),
    )

    assert recorded == {first.id: None, later.id: None, new.id: None}
    rows = [await row_of(connection, webhook) for webhook in (first, later, new)]
    assert [(row["status"], row["attempts"]) for row in rows] == [
        ("pending", 0),
        ("failed", 1),
        ("pending", 0),
    ]
    assert rows[0]["event_data"] == '{"type": "hang"}'
    row = await wait_of(connection, first)
    assert row is not None
    assert (row["attempt"], row["reason"], row["destination"]) == (1, "destination", "crm")


async def test_nothing_waits_for_an_attempt_that_is_recorded(
    connection: asyncpg.Connection,
) -> None:
    """Another processor had the same message: its outcome is repeated, and nothing is lost."""
    failing, completed, dead = Webhook(), Webhook(), Webhook()
    await finish(connection, End(failing, "failed", 1, FAILED), End(completed))
    await bury(connection, dead)

    recorded = await hold(connection, End(failing), End(completed, attempt=2), End(dead))

    assert recorded == {failing.id: "failed", completed.id: "completed", dead.id: None}
    assert await connection.fetchval("SELECT count(*) FROM webhook_waits") == 0


async def test_a_wait_is_replaced_only_if_its_message_is_published_or_its_attempt_is_over(
    connection: asyncpg.Connection,
) -> None:
    """A second message of the same attempt neither delays the next one nor brings it back."""
    webhook = Webhook()
    await hold(connection, End(webhook, wait={"delay_ms": 5_000}))
    await hold(connection, End(webhook, wait={"delay_ms": 50_000}))
    kept = await wait_of(connection, webhook)
    leased = await lease(connection, webhook)
    await hold(connection, End(webhook, wait={"delay_ms": 50_000}))
    replaced = await wait_of(connection, webhook)
    await lease(connection, webhook)
    await finish(connection, failed(webhook))
    next_wait = await wait_of(connection, webhook)

    assert kept is not None
    assert replaced is not None
    assert next_wait is not None
    assert kept["delay_s"] == pytest.approx(5, abs=1)
    assert replaced["delay_s"] == pytest.approx(50, abs=1)
    assert (next_wait["attempt"], next_wait["leased_until"]) == (2, None)
    status = await connection.execute(
        "DELETE FROM webhook_waits WHERE delivery_id = $1 AND leased_until = $2", webhook.id, leased
    )
    assert status == "DELETE 0", "the sweeper that published the first must not delete the next"


async def test_a_copy_that_fails_does_not_undo_a_cancellation(
    connection: asyncpg.Connection,
) -> None:
    """The webhook becomes a dead letter all the same, as the person was told."""
    leased, waiting = Webhook(), Webhook()
    await finish(connection, failed(leased), failed(waiting))
    await connection.execute(
        "UPDATE webhook_waits SET reason = 'cancelled', cancellation = 'Cancelled by ann: no'"
    )
    await lease(connection, leased)
    for webhook in (leased, waiting):
        before = await wait_of(connection, webhook)

        await finish(connection, failed(webhook, attempt=2))

        assert await wait_of(connection, webhook) == before


def taken(connection: asyncpg.Connection, *webhooks: Webhook) -> Coroutine[Any, Any, object]:
    arrays = [[one.id for one in webhooks], [1, 1], [ORG, ORG], ["a", "b"]]
    return connection.execute("SELECT take_webhook_turns($1, $2, $3, $4, '{}')", *arrays)


def ended(connection: asyncpg.Connection, *webhooks: Webhook) -> Coroutine[Any, Any, object]:
    return connection.execute("SELECT end_webhook_turns($1)", [one.id for one in webhooks])


async def test_waits_are_deleted_in_the_order_of_their_ids(connect: Connect) -> None:
    """As a sweeper ends its leases, so the two cannot deadlock."""
    watch, sweeping, deleting = [await connect() for _ in range(3)]
    await deleting.execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
    lock = "SELECT FROM webhook_waits WHERE delivery_id = $1 FOR UPDATE"
    for call in (taken, ended, bury):
        first, second = sorted((Webhook(), Webhook()), key=lambda one: one.id)
        # The rows are in the reverse order on disk, which is the order of a scan without the index.
        for webhook in (second, first):
            await hold(watch, End(webhook, wait={"reason": "order", "delay_ms": None}))

        async with sweeping.transaction():
            await sweeping.execute(lock, first.id)
            deleted = asyncio.create_task(call(deleting, second, first))
            await eventually(
                lambda: watch.fetchval(
                    "SELECT count(*) = 1 FROM pg_stat_activity"
                    " WHERE pid = $1 AND wait_event_type = 'Lock'",
                    deleting.get_server_pid(),
                )
            )
            await sweeping.execute(lock, second.id)
        await deleted

        assert await wait_of(watch, first) is await wait_of(watch, second) is None


async def test_a_wait_without_a_time_never_becomes_due(connection: asyncpg.Connection) -> None:
    webhook = Webhook()

    await hold(connection, End(webhook, wait={"reason": "order", "delay_ms": None}))

    due = "SELECT due_at = 'infinity' FROM webhook_waits WHERE delivery_id = $1"
    assert await connection.fetchval(due, webhook.id)


async def test_waits_end_with_their_webhooks(connection: asyncpg.Connection) -> None:
    """A dead letter's at once; one without a time at the cleanup, unless its webhook goes on."""
    dead, done, waiting = Webhook(), Webhook(), Webhook()
    await finish(connection, failed(dead))
    for webhook in (done, waiting):
        await hold(connection, End(webhook, wait={"reason": "order", "delay_ms": None}))
    await finish(connection, End(done))

    await bury(connection, dead, attempt=1)
    assert await wait_of(connection, dead) is None
    await clean(connection)

    assert await wait_of(connection, done) is None
    assert await wait_of(connection, waiting) is not None


async def test_two_processors_hold_and_finish_the_same_webhook(connect: Connect) -> None:
    """Whichever is first, one of the two counts, and the webhook waits for an attempt to come."""
    webhooks = [Webhook() for _ in range(50)]
    first, second = await connect(), await connect()
    await asyncio.gather(
        *(
            asyncio.create_task(call)
            for call in (
                hold(first, *(End(webhook) for webhook in webhooks)),
                finish(second, *(failed(webhook) for webhook in webhooks)),
            )
        )
    )

    for webhook in webhooks:
        row = await wait_of(first, webhook)
        assert row is not None
        assert row["attempt"] == 2
