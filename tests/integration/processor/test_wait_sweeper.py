"""The sweeper of waits in a real database, with a broker that a test decides on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import aio_pika
import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.status import WaitReason
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.waits.pace import ReleasePace
from ringback.services.processor.waits.sweeper import WaitSweeper
from tests.support.eventually import eventually
from tests.support.executed_plans import ExecutedPlans
from tests.unit.processor.fakes import instruments

ADD = """
    INSERT INTO webhook_waits (
        delivery_id, attempt, org_id, event_type, reason, destination, due_at, headers, body)
    SELECT id, $2, '00000000-0000-0000-0000-000000000001', 'hang', 'retry', $3,
           now() + $4::float * interval '1 second',
           json_build_object('org_id', 'o', 'received_at', '2026-01-01T00:00:00.000+00:00'),
           convert_to(id::text, 'utf8')
    FROM unnest($1::uuid[]) AS id
"""
MILLION = """
    INSERT INTO webhook_waits (
        delivery_id, attempt, org_id, event_type, reason, destination, due_at, headers, body)
    SELECT gen_random_uuid(), 2, '00000000-0000-0000-0000-000000000001', 'hang', 'retry',
           (ARRAY[NULL, 'crm', 'calendar'])[1 + n % 3], now() + n * interval '1 second',
           json_build_object('received_at', '2026-01-01T00:00:00.000+00:00'), 'body'
    FROM generate_series(-($1::integer) / 5, $1::integer) AS n
"""


@dataclass
class FakePublisher:
    """Confirms messages, unless a test lets it hang or refuse."""

    is_connected: bool = True
    published: list[tuple[UUID, str]] = field(default_factory=list)
    messages: list[aio_pika.Message] = field(default_factory=list)
    refuses: bool = False
    gate: asyncio.Event | None = None

    async def publish(self, message: aio_pika.Message, *, exchange: str, routing_key: str) -> None:
        assert exchange == "webhooks"
        if self.gate is not None:
            await self.gate.wait()
        if self.refuses:
            raise ConnectionError
        self.published.append((UUID(message.message_id), routing_key))
        self.messages.append(message)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=4, server_settings={"role": "ringback_processor"}
    ) as pool:
        yield pool


def sweeper(
    pool: asyncpg.Pool, publisher: FakePublisher, pace: ReleasePace | None = None, **options: object
) -> WaitSweeper:
    # No lease ends while a busy machine stalls.
    values: dict[str, object] = {"may_sweep": lambda: True, "interval_s": 0.05, "lease_s": 3600}
    pace = pace or ReleasePace(100)
    return WaitSweeper(pool, publisher, pace, instruments(), **values | options)  # type: ignore[arg-type]


async def add(
    pool: asyncpg.Pool,
    count: int,
    *,
    attempt: int = 2,
    destination: str | None = None,
    due_in_s: float = -1,
) -> list[UUID]:
    ids: list[UUID] = [new_job_id() for _ in range(count)]
    await pool.execute(ADD, ids, attempt, destination, due_in_s)
    return ids


async def left(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM webhook_waits"))


def ids_of(publisher: FakePublisher) -> Sequence[UUID]:
    return [job_id for job_id, _ in publisher.published]


async def test_what_is_due_is_published_once_and_deleted(pool: asyncpg.Pool) -> None:
    """To the queue of what is due, also a first attempt; what is not due stays."""
    retries, [first] = await add(pool, 150), await add(pool, 1, attempt=1)
    await add(pool, 3, due_in_s=3600)
    publisher = FakePublisher()
    one = sweeper(pool, publisher)

    counts = [await one.sweep() for _ in range(3)]

    assert counts == [100, 51, 0]
    assert sorted(publisher.published) == sorted(
        [*((one, "attempt.2") for one in retries), (first, "attempt.requeued")]
    )
    assert await left(pool) == 3
    for message in publisher.messages:
        assert message.body == str(message.message_id).encode()
        assert message.type == "hang"
        assert message.timestamp == datetime(2026, 1, 1, tzinfo=UTC)
        is_first = message.message_id == str(first)
        assert message.headers.get("attempt") == (1 if is_first else None)


async def test_two_sweepers_share_the_work(pool: asyncpg.Pool) -> None:
    ids = await add(pool, 500)
    publishers = [FakePublisher(), FakePublisher()]

    async def sweep_all(one: WaitSweeper) -> None:
        while await one.sweep():
            pass

    await asyncio.gather(*(sweep_all(sweeper(pool, one)) for one in publishers))

    assert sorted([*ids_of(publishers[0]), *ids_of(publishers[1])]) == sorted(ids)
    assert await left(pool) == 0


async def test_a_crash_between_publish_and_delete_publishes_again(pool: asyncpg.Pool) -> None:
    """When its lease has ended. The log makes one attempt of the two messages."""
    ids = await add(pool, 3)
    dying, living = FakePublisher(gate=asyncio.Event()), FakePublisher()
    crash = asyncio.create_task(sweeper(pool, dying).sweep())
    await eventually(
        lambda: pool.fetchval("SELECT bool_and(leased_until > now()) FROM webhook_waits")
    )
    other = sweeper(pool, living)
    assert await other.sweep() == 0
    crash.cancel()
    await asyncio.wait([crash])
    await pool.execute("UPDATE webhook_waits SET leased_until = now() - interval '1 second'")

    assert await other.sweep() == 3

    assert sorted(ids_of(living)) == sorted(ids)
    assert await left(pool) == 0


async def test_what_the_broker_does_not_confirm_is_published_again(pool: asyncpg.Pool) -> None:
    """Soon after the broker is back, not only after the lease."""
    ids = await add(pool, 3)
    publisher = FakePublisher(refuses=True)
    one = sweeper(pool, publisher)

    assert await one.sweep() == 0
    assert await left(pool) == 3
    publisher.refuses = False

    async def all_published() -> bool:
        await one.sweep()  # each row has its own time, so a sweep may publish some of them
        return len(publisher.published) >= 3

    await eventually(all_published)
    assert sorted(ids_of(publisher)) == sorted(ids)


async def test_what_cannot_be_published_goes_back_by_growing_steps(pool: asyncpg.Pool) -> None:
    """It stays due, so that its delay is visible."""
    await add(pool, 1)
    due_at = await pool.fetchval("SELECT due_at FROM webhook_waits")
    one = sweeper(pool, FakePublisher(refuses=True))

    for step_s in (1, 2, 4, 8, 16, 32, 64, 64):
        before = await pool.fetchval("SELECT clock_timestamp()")
        await one.sweep()
        row = await pool.fetchrow("SELECT *, clock_timestamp() AS after FROM webhook_waits")
        assert row is not None
        assert before + timedelta(seconds=step_s) <= row["publish_after"]
        assert row["publish_after"] <= row["after"] + timedelta(seconds=1.5 * step_s)
        assert (row["due_at"], row["leased_until"]) == (due_at, None)
        await pool.execute("UPDATE webhook_waits SET publish_after = now() - interval '1 s'")

    # Until it is released, by the time or by a person, it takes no place in a batch.
    await pool.execute("UPDATE webhook_waits SET publish_after = now() + interval '1 hour'")
    await add(pool, 1, due_in_s=-0.5)
    living = FakePublisher()
    assert await sweeper(pool, living).sweep() == 1


async def test_what_failed_together_is_not_published_together_again(pool: asyncpg.Pool) -> None:
    """One message that the broker refuses ends the channel of all that are published with it."""
    await add(pool, 20)
    await pool.execute("UPDATE webhook_waits SET failures = 6")

    await sweeper(pool, FakePublisher(refuses=True)).sweep()

    apart = await pool.fetchval("SELECT max(publish_after) - min(publish_after) FROM webhook_waits")
    assert apart > timedelta(seconds=5)


async def test_a_row_that_no_message_can_be_made_of_does_not_stop_the_others(
    pool: asyncpg.Pool,
) -> None:
    ids = await add(pool, 3)
    await pool.execute("UPDATE webhook_waits SET headers = '{}' WHERE delivery_id = $1", ids[0])
    publisher = FakePublisher()

    assert await sweeper(pool, publisher).sweep() == 2

    assert sorted(ids_of(publisher)) == sorted(ids[1:])


async def test_one_destination_does_not_keep_others_waiting(pool: asyncpg.Pool) -> None:
    """It gets a slow start, although its rows are due first; the others get their part."""
    await add(pool, 300, destination="crm", due_in_s=-60)
    others = await add(pool, 5, destination="calendar")
    retries = await add(pool, 5)
    publisher = FakePublisher()
    one = sweeper(pool, publisher)

    assert await one.sweep() == 20

    assert {*others, *retries} <= {*ids_of(publisher)}


async def test_destinations_that_are_down_leave_the_batch_to_the_others(
    pool: asyncpg.Pool,
) -> None:
    """However many are down, the retries of others come as fast as without them."""
    down = [f"down-{number}" for number in range(50)]
    pace = ReleasePace(100, lambda name: 0 if name in down else None)
    pace.use(down, asyncio.get_running_loop().time(), tokens=0)
    for name in down:
        await add(pool, 1, destination=name, due_in_s=-60)
    retries, publisher = await add(pool, 100), FakePublisher()

    await sweeper(pool, publisher, pace=pace).sweep()

    assert sorted(ids_of(publisher)) == sorted(retries)


async def test_waits_of_webhooks_that_ended_otherwise_are_deleted(pool: asyncpg.Pool) -> None:
    [ended, other] = await add(pool, 2)
    await pool.execute(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data,"
        " status, max_attempts, created_at)"
        " VALUES ($1, $1, 'default', 'hang', '{}', 'completed', 4, now())",
        ended,
    )
    publisher = FakePublisher()

    await sweeper(pool, publisher).sweep()

    assert ids_of(publisher) == [other]
    assert await left(pool) == 0


async def test_a_wait_of_this_process_does_not_wait_for_the_interval(pool: asyncpg.Pool) -> None:
    publisher = FakePublisher()
    one = sweeper(pool, publisher, interval_s=3600)

    async with one.running():
        await asyncio.sleep(0)
        ids = await add(pool, 2)
        one.added(Wait(WaitReason.FORWARD, 0))
        await eventually(lambda: len(publisher.published) == 2)

    assert sorted(ids_of(publisher)) == sorted(ids)


@pytest.mark.parametrize("broken", ["paused", "broker"])
async def test_it_stands_by_while_it_may_not_sweep(pool: asyncpg.Pool, broken: str) -> None:
    """During a pause, and without a broker; then it continues."""
    ids, publisher = await add(pool, 2), FakePublisher(is_connected=broken != "broker")
    is_paused, asked = broken == "paused", 0

    def may_sweep() -> bool:
        nonlocal asked
        asked += 1
        return not is_paused

    async with sweeper(pool, publisher, may_sweep=may_sweep, interval_s=0.01).running():
        if is_paused:
            await eventually(lambda: asked > 3)
        assert not publisher.published
        is_paused, publisher.is_connected = False, True
        await eventually(lambda: len(publisher.published) == 2)

    assert sorted(ids_of(publisher)) == sorted(ids)


async def test_it_continues_after_an_outage_of_the_database(database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=0, max_size=1) as pool:
        publisher = FakePublisher()
        await pool.execute("ALTER TABLE webhook_waits RENAME TO gone")
        async with sweeper(pool, publisher, interval_s=0.01).running():
            await asyncio.sleep(0.1)
            await pool.execute("ALTER TABLE gone RENAME TO webhook_waits")
            await add(pool, 1)
            await eventually(lambda: publisher.published)


@pytest.mark.slow
async def test_a_million_waits_are_not_read(database_url: str) -> None:
    """A sweep looks into an index for each destination, and reads the rows that it takes.

    Also if many are due, and if its plan was made while none waited.
    """
    publisher, plans = FakePublisher(refuses=True), ExecutedPlans()
    connection = await asyncpg.connect(database_url, command_timeout=300)
    one = sweeper(cast("asyncpg.Pool", connection), publisher)
    try:
        assert await one.sweep() == 0
        await connection.execute(MILLION, 1_000_000)
        await plans.watch(connection)
        assert await one.sweep() == 0
        await eventually(lambda: plans.count)
    finally:
        await connection.close()

    reads = [scan for scan in plans.scans if scan.table == "webhook_waits"]
    assert reads
    assert sum(scan.rows_read for scan in reads) < 2_000, reads
