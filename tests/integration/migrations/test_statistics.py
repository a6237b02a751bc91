"""The statistics equal a recount of the log at every moment."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from ringback.contract.identity import new_job_id
from tests.integration.metrics.waiting_rows import add_wait
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import ORG, End, Webhook, accept, begin, bury, finish
from tests.integration.migrations.stats_calls import (
    ALL,
    Counts,
    buckets,
    counts_of,
    deltas,
    fold,
    hour_of,
)
from tests.support.eventually import eventually

ERROR = ("TimeoutError", "It took too long.")
NOW = datetime.now(UTC)
SOON = hour_of(NOW) + timedelta(hours=2)


def webhooks_of(age: timedelta, count: int = 1, org_id: UUID = ORG) -> list[Webhook]:
    """Webhooks that were created a while ago."""
    milliseconds = int((NOW - age).timestamp() * 1000)
    return [
        Webhook(id=UUID(int=milliseconds << 80 | new_job_id().int % (1 << 80)), org_id=org_id)
        for _ in range(count)
    ]


async def create_days(connection: asyncpg.Connection, *ages: timedelta) -> None:
    for age in ages:
        day = (NOW - age).date()
        await connection.execute("SELECT ensure_webhook_partitions($1, $1)", day)


async def test_a_statement_without_a_change_leaves_no_delta(connection: asyncpg.Connection) -> None:
    """A redelivery, an existing row, and a webhook that begins to be processed."""
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


async def test_a_rolled_back_fold_is_done_again(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A folder that dies before its commit has changed nothing and blocks no one."""
    webhooks = webhooks_of(timedelta(minutes=5), 3)
    await accept(connection, *webhooks)
    await finish(connection, End(webhooks[0]))
    before = await counts_of(connection, ORG, hour_of(NOW) - timedelta(hours=1), SOON)
    dying = await connect()
    await dying.execute("BEGIN")
    assert await fold(dying)
    assert await fold(connection) == 0

    await connection.execute("SELECT pg_terminate_backend($1)", dying.get_server_pid())
    folded = await eventually(lambda: fold(connection))

    assert folded > 1
    assert await deltas(connection) == 0
    assert await counts_of(connection, ORG, hour_of(NOW) - timedelta(hours=1), SOON) == before


async def test_old_minutes_have_no_bucket(connection: asyncpg.Connection) -> None:
    """A webhook that changes after two days counts in its hour; after a month, nowhere."""
    young, old, ancient = timedelta(minutes=5), timedelta(hours=50), timedelta(days=40)
    await create_days(connection, young, old, ancient)
    webhooks = [webhooks_of(age)[0] for age in (young, old, ancient)]
    await finish(connection, *(End(webhook) for webhook in webhooks))
    await fold(connection)

    minute = (NOW - young).replace(second=0, microsecond=0)
    expected = {("minute", minute), ("hour", hour_of(minute)), ("hour", hour_of(NOW - old))}
    assert await buckets(connection, ORG) == expected
    assert await buckets(connection, ALL) == expected


async def test_pruning_deletes_only_unused_buckets(connection: asyncpg.Connection) -> None:
    """Minutes stay for 48 hours and hours for 31 days, so that 47 hours and 30 days are exact."""
    kept = {
        ("minute", hour_of(NOW - timedelta(hours=48)) + timedelta(hours=1)),
        ("hour", hour_of(NOW - timedelta(days=31)) + timedelta(hours=1)),
    }
    gone = {
        ("minute", hour_of(NOW - timedelta(hours=48)) - timedelta(minutes=1)),
        ("hour", hour_of(NOW - timedelta(days=32)) - timedelta(hours=1)),
    }
    await connection.executemany(
        "INSERT INTO webhook_stats VALUES ($1, $2, $3, 'hang', 1, 0, 0, 0, 0, 1)",
        [(ALL, grain, bucket) for grain, bucket in kept | gone],
    )

    assert await connection.fetchval("SELECT prune_webhook_stats()") == 2

    assert await buckets(connection) == kept


async def test_cleaning_the_log_changes_no_count(connection: asyncpg.Connection) -> None:
    """The cleanup removes webhooks from their day, which fires no trigger."""
    age = timedelta(days=40)
    await create_days(connection, age)
    waiting, *done = webhooks_of(age, 4)
    await accept(connection, waiting)
    await finish(connection, *(End(webhook) for webhook in done))
    rows = "SELECT sum(inserted) FROM webhook_gateway_rows_deltas"
    before = await deltas(connection), await connection.fetchval(rows)

    await connection.execute("CALL cleanup_old_webhook_logs()")

    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 1
    assert (await deltas(connection), await connection.fetchval(rows)) == before


async def test_a_log_is_rebuilt_beside_its_writers(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """Rows without triggers count, and a writer's open transaction is neither awaited nor lost."""
    await connection.execute("SET session_replication_role = replica")
    await accept(connection, *webhooks_of(timedelta(minutes=10), 20))
    await connection.execute("RESET session_replication_role")
    writer = await connect()
    await writer.execute("BEGIN")
    await accept(writer, Webhook())
    start = hour_of(NOW) - timedelta(hours=1)
    assert await counts_of(connection, ORG, start, SOON) == {}

    await connection.execute("SELECT rebuild_webhook_stats()")

    assert await counts_of(connection, ORG, start, SOON) == {"hang": Counts(pending=20)}
    await writer.execute("COMMIT")
    assert await counts_of(connection, ORG, start, SOON) == {"hang": Counts(pending=21)}


async def test_hours_are_in_utc(connection: asyncpg.Connection) -> None:
    """This works in any time zone of the session: some places are half an hour off."""
    await connection.execute("SET TimeZone = 'Asia/Kolkata'")
    await accept(connection, *webhooks_of(timedelta(minutes=1)), *webhooks_of(timedelta(hours=3)))
    await fold(connection)

    start = hour_of(NOW - timedelta(minutes=1))
    assert ("hour", start) in await buckets(connection)
    assert await counts_of(connection, ORG, start, SOON) == {"hang": Counts(pending=1)}
    await connection.execute("SELECT rebuild_webhook_stats()")
    assert ("hour", start) in await buckets(connection)


async def test_the_oldest_ages_are_of_unfinished_webhooks(connection: asyncpg.Connection) -> None:
    """By the minute of the last two days; finished webhooks have no age."""
    ages = "SELECT pending, failed FROM webhook_oldest_ages()"
    [empty] = await connection.fetch(ages)
    old = webhooks_of(timedelta(minutes=10) - (datetime.now(UTC) - NOW), 2)
    await accept(connection, *old, Webhook())
    await finish(connection, End(old[1], "failed", 1, ("TimeoutError", "It took too long.")))
    await connection.execute("SELECT fold_webhook_stats(1000)")
    [waiting] = await connection.fetch(ages)
    await finish(connection, End(old[0]), End(old[1], attempt=2))
    await connection.execute("SELECT fold_webhook_stats(1000)")
    [after] = await connection.fetch(ages)

    assert tuple(empty) == (0, 0)
    assert 530 <= waiting["pending"] < 900
    assert 530 <= waiting["failed"] < 900
    assert after["pending"] < 360
    assert after["failed"] == 0


async def test_webhooks_that_wait_in_the_database_have_no_age(
    connection: asyncpg.Connection,
) -> None:
    """Another one of the same minute has; a webhook that failed is not one without an attempt."""
    failed = webhooks_of(timedelta(minutes=10) - (datetime.now(UTC) - NOW), 2)
    pending = webhooks_of(timedelta(minutes=5) - (datetime.now(UTC) - NOW), 1)
    error = ("TimeoutError", "It took too long.")
    await accept(connection, *failed, *pending)
    await finish(connection, *(End(one, "failed", 1, error) for one in failed))
    await connection.execute("SELECT fold_webhook_stats(1000)")
    ages = []
    for waiting, attempt in ((failed[0], 2), (pending[0], 1), (failed[1], 2)):
        await add_wait(connection, waiting.org_id, job_id=waiting.id, attempt=attempt)
        ages += await connection.fetch("SELECT pending, failed FROM webhook_oldest_ages()")

    assert [(age["pending"] > 200, age["failed"] > 500) for age in ages] == [
        (True, True),
        (False, True),
        (False, False),
    ]
