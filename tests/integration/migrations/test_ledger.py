"""Tests for the ledger: webhooks that gateway instances accepted, compared with the log."""

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
class OfInstance(Webhook):
    """A webhook that one gateway instance accepted."""

    instance: UUID = field(default_factory=new_job_id)

    def columns(self) -> tuple[Any, ...]:
        *before, _, retry_of = Webhook.columns(self)
        return (*before, self.instance, retry_of)


async def report(
    connection: asyncpg.Connection, instance: UUID, accepted: int, *, ago: str = "0"
) -> None:
    """What a gateway writes beside its pending rows."""
    await connection.execute(
        "INSERT INTO webhook_gateway_ledger VALUES ($1, now() - $2::text::interval, $3)",
        instance,
        ago,
        accepted,
    )


async def ledger(connection: asyncpg.Connection) -> tuple[int, int]:
    [row] = await connection.fetch("SELECT accepted, deficit FROM webhook_ledger()")
    return row["accepted"], row["deficit"]


async def fold(connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT fold_webhook_gateway_rows()")


async def test_a_row_counts_once_whichever_service_writes_it(
    connection: asyncpg.Connection,
) -> None:
    """The gateway, the processor that found no row, or the one that records dead letters."""
    instance = new_job_id()
    by_gateway, by_attempt, by_end, dead = (OfInstance(instance=instance) for _ in range(4))
    await accept(connection, by_gateway)
    await begin(connection, by_gateway, by_attempt)
    await finish(connection, End(by_gateway), End(by_attempt), End(by_end))
    await accept(connection, by_end, dead)
    await bury(connection, dead)
    await report(connection, instance, 4)

    assert await ledger(connection) == (4, 0)


async def test_the_deficit_is_per_instance(connection: asyncpg.Connection) -> None:
    """One's surplus and a retry hide no other's loss; a loss is reported for 48 hours."""
    assert await ledger(connection) == (0, 0)
    silent, lossy, retried = new_job_id(), new_job_id(), new_job_id()
    await accept(connection, *(OfInstance(instance=silent) for _ in range(5)))
    await accept(connection, OfInstance(instance=lossy))
    await accept(connection, OfInstance(instance=retried, retry_of=new_job_id()))
    await report(connection, silent, 1)
    await report(connection, lossy, 2)
    await report(connection, lossy, 3)
    await report(connection, retried, 1)
    await report(connection, new_job_id(), 100, ago="49 hours")
    await report(connection, new_job_id(), 10, ago="47 hours")

    assert await ledger(connection) == (1 + 3 + 1 + 10, 0 + 2 + 1 + 10)


async def test_sums_of_old_instances_are_pruned(connection: asyncpg.Connection) -> None:
    """A sum stays as long as the ledger has its instance, or the instance is new."""
    past = int((datetime.now(UTC) - timedelta(days=60)).timestamp() * 1000) << 80
    old, known, new = UUID(int=past), UUID(int=past + 1), new_job_id()
    for instance in (old, known, new):
        await accept(connection, OfInstance(instance=instance))
    await report(connection, known, 1)
    await fold(connection)

    await connection.execute("SELECT prune_webhook_ledger(30)")

    rows = await connection.fetch("SELECT gateway_instance_id FROM webhook_gateway_rows")
    assert {row["gateway_instance_id"] for row in rows} == {known, new}


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_deficit_is_the_number_of_lost_webhooks(connect: Connect, seed: int) -> None:
    """This is true for random instances, writers and folds, before and after folding."""
    chance = random.Random(seed)
    connection = await connect()
    instances = [new_job_id() for _ in range(4)]
    accepted: Counter[UUID] = Counter()
    lost = 0

    for _ in range(60):
        instance = chance.choice(instances)
        webhooks = [OfInstance(instance=instance) for _ in range(chance.randint(1, 5))]
        accepted[instance] += len(webhooks)
        kept = [webhook for webhook in webhooks if chance.random() > 0.1]
        lost += len(webhooks) - len(kept)
        if kept and chance.random() < 0.5:
            await accept(connection, *kept)
        if kept:
            await finish(connection, *(End(webhook) for webhook in kept))
        await report(connection, instance, accepted[instance])
        if chance.random() < 0.3:
            await fold(connection)

    assert await ledger(connection) == (accepted.total(), lost)
    await fold(connection)
    assert await ledger(connection) == (accepted.total(), lost)
