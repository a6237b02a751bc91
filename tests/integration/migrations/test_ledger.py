"""The ledger: webhooks that gateways accepted, compared with the log, for each life separately."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, accept, begin, bury, finish


@dataclass(frozen=True, slots=True)
class OfLife(Webhook):
    """A webhook that one life of a gateway accepted."""

    life: UUID = field(default_factory=new_job_id)

    def columns(self) -> tuple[Any, ...]:
        *before, _, retry_of = Webhook.columns(self)
        return (*before, self.life, retry_of)


async def say(connection: asyncpg.Connection, life: UUID, accepted: int, *, ago: str = "0") -> None:
    """What a gateway writes beside its pending rows."""
    await connection.execute(
        "INSERT INTO webhook_gateway_ledger VALUES ($1, now() - $2::text::interval, $3)",
        life,
        ago,
        accepted,
    )


async def ledger(connection: asyncpg.Connection) -> tuple[int, int]:
    [row] = await connection.fetch("SELECT accepted, deficit FROM webhook_ledger()")
    return row["accepted"], row["deficit"]


async def fold(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT fold_webhook_gateway_rows()")


async def test_an_empty_ledger_has_no_deficit(connection: asyncpg.Connection) -> None:
    """Nothing was accepted, so nothing is lost."""
    assert await ledger(connection) == (0, 0)


async def test_what_has_no_row_is_the_deficit(connection: asyncpg.Connection) -> None:
    """This is true with and without folding, before and after."""
    life = new_job_id()
    await accept(connection, *(OfLife(life=life) for _ in range(7)))
    await say(connection, life, 5)
    await say(connection, life, 10)

    unfolded = await ledger(connection)
    await fold(connection)
    folded = await ledger(connection)

    assert unfolded == folded == (10, 3)


async def test_a_row_counts_once_whoever_writes_it(connection: asyncpg.Connection) -> None:
    """The gateway, the processor that found no row, or the recorder of dead letters."""
    life = new_job_id()
    by_gateway, by_attempt, by_end, dead = (OfLife(life=life, dedup_key=k) for k in "abcd")
    await accept(connection, by_gateway)
    await begin(connection, by_gateway, by_attempt)
    await finish(connection, End(by_gateway), End(by_attempt), End(by_end))
    await accept(connection, by_end, dead)
    await bury(connection, dead)
    await say(connection, life, 4)

    assert await ledger(connection) == (4, 0)


async def test_manual_retries_make_up_for_nothing(connection: asyncpg.Connection) -> None:
    """A retry carries no sender's webhook."""
    life = new_job_id()
    await say(connection, life, 1)

    await accept(connection, OfLife(life=life, retry_of=new_job_id()))

    assert await ledger(connection) == (1, 1)


async def test_each_life_is_held_against_itself(connection: asyncpg.Connection) -> None:
    """A life that died before it reported its count does not hide another's loss."""
    silent, lossy = new_job_id(), new_job_id()
    await accept(connection, *(OfLife(life=silent) for _ in range(5)))
    await say(connection, silent, 1)
    await accept(connection, OfLife(life=lossy))
    await say(connection, lossy, 3)

    assert await ledger(connection) == (4, 2)


async def test_lives_of_the_past_are_no_alarm(connection: asyncpg.Connection) -> None:
    """A loss is reported for 48 hours after the last report of its life."""
    await say(connection, new_job_id(), 100, ago="49 hours")
    await say(connection, new_job_id(), 10, ago="47 hours")

    assert await ledger(connection) == (10, 10)


async def test_a_dropped_day_is_no_loss(connection: asyncpg.Connection) -> None:
    """Rows that the cleanup removed stay counted; a long life needs no row of its beginning."""
    life, day = new_job_id(), datetime.now(UTC) - timedelta(days=40)
    await connection.execute("SELECT ensure_webhook_partitions($1, $1)", day.date())
    old_id = UUID(int=int(day.timestamp() * 1000) << 80 | new_job_id().int % (1 << 80))
    old = OfLife(id=old_id, life=life)
    await accept(connection, old)
    await finish(connection, End(old))
    await say(connection, life, 1)

    await connection.execute("CALL cleanup_old_webhook_logs(30)")

    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 0
    assert await ledger(connection) == (1, 0)


async def test_sums_of_forgotten_lives_are_forgotten(connection: asyncpg.Connection) -> None:
    """Sums stay as long as the ledger knows their life, or the life is young."""
    past = int((datetime.now(UTC) - timedelta(days=60)).timestamp() * 1000) << 80
    forgotten, known, young = UUID(int=past), UUID(int=past + 1), new_job_id()
    for life in (forgotten, known, young):
        await accept(connection, OfLife(life=life))
    await say(connection, known, 1)
    await fold(connection)

    await connection.execute("SELECT prune_webhook_ledger(30)")

    rows = await connection.fetch("SELECT gateway_instance_id FROM webhook_gateway_rows")
    assert {row["gateway_instance_id"] for row in rows} == {known, young}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_deficit_is_what_was_lost(connect: Connect, seed: int) -> None:
    """Random lives, writers and folds: exactly the webhooks that were dropped are missing."""
    chance = random.Random(seed)
    connection = await connect()
    lives = [new_job_id() for _ in range(4)]
    accepted: Counter[UUID] = Counter()
    lost = 0

    for _ in range(60):
        life = chance.choice(lives)
        webhooks = [OfLife(life=life) for _ in range(chance.randint(1, 5))]
        accepted[life] += len(webhooks)
        kept = [webhook for webhook in webhooks if chance.random() > 0.1]
        lost += len(webhooks) - len(kept)
        if kept and chance.random() < 0.5:
            await accept(connection, *kept)
        if kept:
            await finish(connection, *(End(webhook) for webhook in kept))
        await say(connection, life, accepted[life])
        if chance.random() < 0.3:
            await fold(connection)

    assert await ledger(connection) == (accepted.total(), lost)


async def test_days_ahead_are_counted_to_the_first_gap(connection: asyncpg.Connection) -> None:
    """A missing day ends the count, whatever days follow; -1 means that today is missing."""
    today = datetime.now(UTC).date()
    ahead = "SELECT webhook_partition_days_ahead()"
    await connection.execute(
        "SELECT ensure_webhook_partitions($1, $2)", today, today + timedelta(9)
    )
    nine = await connection.fetchval(ahead)

    await connection.execute(f"DROP TABLE webhook_delivery_attempts_{today + timedelta(3):%Y%m%d}")
    two = await connection.fetchval(ahead)
    await connection.execute(f"DROP TABLE webhook_delivery_log_{today:%Y%m%d}")
    none = await connection.fetchval(ahead)

    assert (nine >= 9, two, none) == (True, 2, -1)


async def test_the_oldest_ages_are_of_what_is_unfinished(connection: asyncpg.Connection) -> None:
    """By the minute of the last two days; finished webhooks have no age."""
    ages = "SELECT pending, failed FROM webhook_oldest_ages()"
    [empty] = await connection.fetch(ages)
    milliseconds = int((datetime.now(UTC) - timedelta(minutes=10)).timestamp() * 1000)
    await connection.execute(
        "SELECT ensure_webhook_partitions($1, $1)",
        (datetime.now(UTC) - timedelta(minutes=10)).date(),
    )
    old = [
        Webhook(id=UUID(int=milliseconds << 80 | new_job_id().int % (1 << 80))) for _ in range(2)
    ]
    await accept(connection, *old, Webhook())
    await finish(connection, End(old[1], "failed", 1, ("TimeoutError", "It took too long.")))
    await connection.execute("SELECT fold_webhook_stats(1000)")
    [waiting] = await connection.fetch(ages)
    await finish(connection, End(old[0]), End(old[1], attempt=2))
    await connection.execute("SELECT fold_webhook_stats(1000)")
    [after] = await connection.fetch(ages)

    assert tuple(empty) == (0, 0)
    assert 530 <= waiting["pending"] <= 610
    assert 530 <= waiting["failed"] <= 610
    assert after["pending"] < 60
    assert after["failed"] == 0
