"""The statistics equal a recount of the log at every moment."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from ringback.contract.identity import new_job_id
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import ORG, End, Webhook, accept, begin, bury, finish
from tests.integration.migrations.stats_calls import (
    ALL,
    Counts,
    buckets,
    deltas,
    fold,
    hour_of,
    recounted,
    told,
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


async def test_each_status_has_its_kind(connection: asyncpg.Connection) -> None:
    """Attempts of completed, failed and dead webhooks count; a processing webhook is pending."""
    new, running, done, failed, dead, twin = (Webhook(dedup_key=key) for key in [*"abcde", "c"])
    await accept(connection, new, running, done, failed)
    await begin(connection, running)
    await finish(connection, End(done), End(failed, "failed", 2, ERROR))
    await finish(connection, End(twin))
    await bury(connection, dead)

    counts = await told(connection, ORG, hour_of(NOW), SOON)

    assert counts == {
        "hang": Counts(
            completed=1, failed=1, dead_letter=1, pending=2, duplicates=1, attempts=1 + 2 + 4
        )
    }


async def test_what_changes_nothing_leaves_no_delta(connection: asyncpg.Connection) -> None:
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


async def test_folding_changes_no_answer(connection: asyncpg.Connection) -> None:
    """Before it, between two batches and after it the answer is the same; then no delta is left."""
    webhooks = [Webhook(org_id=UUID(int=n % 3 + 1)) for n in range(30)]
    for webhook in webhooks:
        await accept(connection, webhook)
    await finish(connection, *(End(webhook) for webhook in webhooks[:20]))
    before = await told(connection, ALL, hour_of(NOW), SOON)

    moved: list[int] = []
    while not moved or moved[-1]:
        moved.append(await fold(connection, most=7))
        assert await told(connection, ALL, hour_of(NOW), SOON) == before

    assert before["hang"] == Counts(completed=20, pending=10, attempts=20)
    assert len(moved) > 3
    assert await deltas(connection) == 0


async def test_a_folding_that_is_undone_is_done_again(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A folder that dies before its commit has changed nothing and blocks no one."""
    webhooks = webhooks_of(timedelta(minutes=5), 3)
    await accept(connection, *webhooks)
    await finish(connection, End(webhooks[0]))
    before = await told(connection, ORG, hour_of(NOW) - timedelta(hours=1), SOON)
    dying = await connect()
    await dying.execute("BEGIN")
    assert await fold(dying)
    assert await fold(connection) == 0

    await connection.execute("SELECT pg_terminate_backend($1)", dying.get_server_pid())
    folded = await eventually(lambda: fold(connection))

    assert folded > 1
    assert await deltas(connection) == 0
    assert await told(connection, ORG, hour_of(NOW) - timedelta(hours=1), SOON) == before


async def test_what_is_undone_is_not_counted(connection: asyncpg.Connection) -> None:
    """The count is part of the transaction that changes the log."""
    await connection.execute("BEGIN")
    await accept(connection, Webhook())
    await connection.execute("ROLLBACK")

    assert await deltas(connection) == 0


async def test_windows_begin_and_end_at_their_minutes(connection: asyncpg.Connection) -> None:
    """Hours in the middle, minutes at the edges: each webhook is counted once or not at all."""
    ages = [timedelta(minutes=minutes) for minutes in range(0, 47 * 60, 13)]
    await create_days(connection, *ages)
    await accept(connection, *(webhooks_of(age)[0] for age in ages))
    minute = NOW.replace(second=0, microsecond=0)

    for is_folded in (False, True):
        if is_folded:
            await fold(connection)
        for back, ahead in [(1, 0), (59, 2), (60, 60), (61, 1), (600, 13), (2820, 0), (2820, 700)]:
            start = minute - timedelta(minutes=back)
            end = minute - timedelta(minutes=ahead) if ahead else SOON
            assert await told(connection, ORG, start, end) == await recounted(
                connection, ORG, start, end
            ), (is_folded, back, ahead)


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


async def test_pruning_takes_what_no_reading_needs(connection: asyncpg.Connection) -> None:
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


async def test_cleaning_the_log_uncounts_nothing(connection: asyncpg.Connection) -> None:
    """The cleanup removes webhooks from their day, which fires no trigger."""
    age = timedelta(days=40)
    await create_days(connection, age)
    waiting, *done = webhooks_of(age, 4)
    await accept(connection, waiting)
    await finish(connection, *(End(webhook) for webhook in done))
    before = await deltas(connection)

    await connection.execute("CALL cleanup_old_webhook_logs()")

    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 1
    assert await deltas(connection) == before


async def test_a_rebuilding_comes_to_the_same(connection: asyncpg.Connection) -> None:
    """The log alone gives the same buckets as folding, and no delta is left."""
    ages = [timedelta(minutes=3), timedelta(hours=30), timedelta(hours=60), timedelta(days=20)]
    await create_days(connection, *ages)
    for age in ages:
        for org in (1, 2):
            done, failed, new = webhooks_of(age, 3, UUID(int=org))
            await accept(connection, new)
            await finish(connection, End(done), End(failed, "failed", 2, ERROR))
    await fold(connection)

    folded = await connection.fetch("SELECT * FROM webhook_stats ORDER BY 1, 2, 3, 4")
    await connection.execute("SELECT rebuild_webhook_stats()")

    rebuilt = await connection.fetch("SELECT * FROM webhook_stats ORDER BY 1, 2, 3, 4")
    assert await deltas(connection) == 0
    assert rebuilt == folded


async def test_a_filled_log_is_rebuilt_beside_its_writers(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """It counts rows that were inserted without triggers; it neither waits for a writer's open
    transaction nor loses it.
    """
    await connection.execute("SET session_replication_role = replica")
    await accept(connection, *webhooks_of(timedelta(minutes=10), 20))
    await connection.execute("RESET session_replication_role")
    writer = await connect()
    await writer.execute("BEGIN")
    await accept(writer, Webhook())
    start = hour_of(NOW) - timedelta(hours=1)
    assert await told(connection, ORG, start, SOON) == {}

    await connection.execute("SELECT rebuild_webhook_stats()")

    assert await told(connection, ORG, start, SOON) == {"hang": Counts(pending=20)}
    await writer.execute("COMMIT")
    assert await told(connection, ORG, start, SOON) == {"hang": Counts(pending=21)}


async def test_hours_are_those_of_utc(connection: asyncpg.Connection) -> None:
    """This works in any time zone of the session: some places are half an hour off."""
    await connection.execute("SET TimeZone = 'Asia/Kolkata'")
    await accept(connection, *webhooks_of(timedelta(minutes=1)), *webhooks_of(timedelta(hours=3)))
    await fold(connection)

    start = hour_of(NOW - timedelta(minutes=1))
    assert ("hour", start) in await buckets(connection)
    assert await told(connection, ORG, start, SOON) == {"hang": Counts(pending=1)}
    await connection.execute("SELECT rebuild_webhook_stats()")
    assert ("hour", start) in await buckets(connection)
