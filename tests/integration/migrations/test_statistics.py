"""The statistics: what they say is what a recount of the log says, at every moment."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from tests.integration.migrations.log_calls import ORG, End, Webhook, accept, begin, bury, finish
from tests.integration.migrations.stats_calls import (
    ALL,
    Counts,
    deltas,
    fold,
    hour_of,
    told,
)

ERROR = ("TimeoutError", "It took too long.")
NOW = datetime.now(UTC)
EVER = NOW - timedelta(days=29)


async def test_each_status_has_its_kind(connection: asyncpg.Connection) -> None:
    """Attempts are those of what is completed, failed or dead; who is processed is pending."""
    new, running, done, failed, dead, twin = (Webhook(dedup_key=key) for key in [*"abcde", "c"])
    await accept(connection, new, running, done, failed)
    await begin(connection, running)
    await finish(connection, End(done), End(failed, "failed", 2, ERROR))
    await finish(connection, End(twin))
    await bury(connection, dead)

    counts = await told(connection, ORG, hour_of(NOW), NOW + timedelta(hours=1))

    assert counts == {
        "hang": Counts(
            completed=1, failed=1, dead_letter=1, pending=2, duplicates=1, attempts=1 + 2 + 4
        )
    }


async def test_what_changes_nothing_leaves_no_delta(connection: asyncpg.Connection) -> None:
    """A redelivery, a row that is there already, and one that begins to be processed."""
    webhook, other = Webhook(), Webhook()
    await accept(connection, webhook, other)
    await finish(connection, End(webhook))
    before = await deltas(connection)

    await accept(connection, webhook)
    await begin(connection, other)
    await finish(connection, End(webhook))
    await bury(connection, webhook)
    await connection.execute(
        "UPDATE webhook_delivery_log SET resolution = 'x', resolved_at = now()"
    )

    assert await deltas(connection) == before


async def test_folding_changes_no_answer(connection: asyncpg.Connection) -> None:
    """Before it, between two batches and after it the answer is the same; then no delta is left."""
    webhooks = [Webhook(org_id=UUID(int=n % 3 + 1)) for n in range(30)]
    for webhook in webhooks:
        await accept(connection, webhook)
    await finish(connection, *(End(webhook) for webhook in webhooks[:20]))
    before = await told(connection, ALL, hour_of(NOW), NOW + timedelta(hours=1))

    moved: list[int] = []
    while not moved or moved[-1]:
        moved.append(await fold(connection, most=7))
        assert await told(connection, ALL, hour_of(NOW), NOW + timedelta(hours=1)) == before

    assert before["hang"] == Counts(completed=20, pending=10, attempts=20)
    assert len(moved) > 3
    assert await deltas(connection) == 0
