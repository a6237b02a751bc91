"""Statistics, log, attempts and claims agree while all writers are at work, and none deadlocks."""

import asyncio
import random
from collections import deque
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, accept, begin, bury, finish
from tests.integration.migrations.stats_calls import (
    ALL,
    counts_of,
    deltas,
    fold,
    hour_of,
    recounted,
)

pytestmark = pytest.mark.slow

WRITERS = 5
FOLDERS = 2
COMPARISONS = 60
BUCKETS = "SELECT * FROM webhook_stats ORDER BY 1, 2, 3, 4"
ORGS = [UUID(int=n) for n in (1, 2, 3)]
TYPES = ["call.started", "call.ended", "hang"]
ERROR = ("TimeoutError", "It took too long.")
NOW = datetime.now(UTC)
#: How long ago webhooks were created: mostly just now, and both sides of every border.
AGES = [timedelta(hours=hours) for hours in (0, 0, 0, 0, 1, 46, 47, 48, 49, 24 * 29)]


#: Webhooks that several writers use at once.
shared: deque[Webhook] = deque(maxlen=20)


def some_webhook(chance: random.Random) -> Webhook:
    age = chance.choice(AGES) + timedelta(minutes=chance.random() * 60)
    milliseconds = int((NOW - age).timestamp() * 1000)
    job_id = UUID(int=milliseconds << 80 | new_job_id().int % (1 << 80))
    key = chance.choice([None, f"{chance.randrange(200)}"])
    kind = TYPES[job_id.int % len(TYPES)]
    return Webhook(id=job_id, org_id=chance.choice(ORGS), event_type=kind, dedup_key=key)


async def write(connection: asyncpg.Connection, chance: random.Random) -> None:
    """Work of gateways and processors, on webhooks that others use too; some roll back."""
    while True:
        shared.extend(some_webhook(chance) for _ in range(6))
        webhooks = chance.sample(shared, 6)
        for act in chance.choices(["accept", "begin", "finish", "fail", "bury"], k=4):
            some = chance.sample(webhooks, 4)
            transaction = connection.transaction()
            await transaction.start()
            match act:
                case "accept":
                    await accept(connection, *sorted(some, key=lambda webhook: webhook.id))
                case "begin":
                    await begin(connection, *some, attempt=chance.randint(1, 2))
                case "finish":
                    outcomes = chance.choices(["completed", "permanent"], k=4)
                    ends = zip(some, outcomes, strict=True)
                    await finish(connection, *(End(w, o, error=ERROR) for w, o in ends))
                case "fail":
                    attempt = chance.randint(1, 3)
                    await finish(connection, *(End(w, "failed", attempt, ERROR) for w in some))
                case _:
                    await bury(connection, *some)
            await (transaction.rollback() if chance.random() < 0.1 else transaction.commit())


async def keep_folding(connection: asyncpg.Connection, chance: random.Random) -> None:
    """Fold in batches of any size; now and then die in the middle of it."""
    while True:
        transaction = connection.transaction()
        await transaction.start()
        await fold(connection, chance.choice([1, 10, 1000]))
        await (transaction.rollback() if chance.random() < 0.2 else transaction.commit())
        await asyncio.sleep(chance.random() / 50)


def some_window(chance: random.Random) -> tuple[datetime, datetime]:
    """Any minutes of the last 47 hours, or hours of the last 29 days."""
    open_end = hour_of(NOW) + timedelta(hours=2)
    if chance.random() < 0.3:
        return hour_of(NOW) - timedelta(hours=chance.randint(47, 24 * 29 + 2)), open_end
    minute = NOW.replace(second=0, microsecond=0)
    start = minute - timedelta(minutes=chance.choice([15, chance.randrange(46 * 60)]))
    end = start + timedelta(minutes=chance.randrange(24 * 60))
    return start, chance.choice([open_end, end])


async def compare(connection: asyncpg.Connection, chance: random.Random) -> int:
    """Compare both at one moment; return how many event types there were."""
    org_id, (start, end) = chance.choice([ALL, *ORGS]), some_window(chance)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counted = await counts_of(connection, org_id, start, end)
        expected = await recounted(connection, org_id, start, end)
    assert counted == expected, (org_id, start, end)
    return len(counted)


async def check_rebuild(reader: asyncpg.Connection) -> None:
    """Rebuild the statistics, and compare."""
    folded = await reader.fetch(BUCKETS)
    await reader.execute("SELECT rebuild_webhook_stats()")
    rebuilt = await reader.fetch(BUCKETS)
    # If an hour has just begun, the rebuild left out the minutes of the oldest one.
    since = await reader.fetchval("SELECT webhook_stats_minutes_from()")
    for rows in (folded, rebuilt):
        rows[:] = [row for row in rows if row["grain"] == "hour" or row["bucket"] >= since]
    assert rebuilt == folded


@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_agrees_at_any_moment(connect: Connect, seed: int) -> None:
    """The statistics equal a recount in any allowed window, for one org and for all."""
    chance = random.Random(seed)
    reader = await connect()
    for age in set(AGES) | {age + timedelta(hours=1) for age in AGES}:
        await reader.execute("SELECT ensure_webhook_partitions($1, $1)", (NOW - age).date())
    workers = [await connect() for _ in range(WRITERS + FOLDERS)]
    for worker in workers:
        await worker.execute("SET deadlock_timeout = '100ms'")
    tasks = [
        *[asyncio.create_task(write(worker, chance)) for worker in workers[:WRITERS]],
        *[asyncio.create_task(keep_folding(worker, chance)) for worker in workers[WRITERS:]],
    ]

    found = compared = 0
    while compared < COMPARISONS or found <= COMPARISONS:
        found += await compare(reader, chance)
        compared += 1
        assert not [task for task in tasks if task.done()]
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # A writer that was cancelled within its transaction keeps its locks.
    for worker in workers:
        await worker.close()

    while await fold(reader):
        assert await compare(reader, chance) >= 0
    assert await deltas(reader) == 0
    await check_rebuild(reader)
    for _ in range(10):
        await compare(reader, chance)
    await check_consistency(reader)


INCONSISTENT = [
    """SELECT id FROM webhook_delivery_log AS log
    WHERE NOT EXISTS (SELECT FROM webhook_delivery_attempts WHERE delivery_id = log.id)
        AND status IN ('completed', 'duplicate', 'failed')""",
    """SELECT delivery_id FROM webhook_delivery_attempts
    WHERE NOT EXISTS (SELECT FROM webhook_delivery_log WHERE id = delivery_id)""",
    # The first of a duplicate has the claim.
    """SELECT log.id FROM webhook_delivery_log AS log
    LEFT JOIN webhook_inbox AS inbox USING (org_id, dedup_key)
    WHERE (status = 'duplicate') <> (duplicate_of IS NOT NULL)
        OR (status = 'duplicate' AND duplicate_of IS DISTINCT FROM inbox.delivery_id)
        OR (status = 'completed' AND dedup_key IS NOT NULL AND inbox.delivery_id <> log.id)""",
    # No event was completed twice.
    """SELECT log.org_id, dedup_key FROM webhook_delivery_attempts
    JOIN webhook_delivery_log AS log ON log.id = delivery_id
    WHERE outcome = 'completed' AND dedup_key IS NOT NULL
    GROUP BY log.org_id, dedup_key HAVING count(DISTINCT delivery_id) > 1""",
]


async def check_consistency(connection: asyncpg.Connection) -> None:
    """The log, the attempts and the claims agree."""
    for statement in INCONSISTENT:
        assert await connection.fetch(statement) == []
