"""Ordered webhooks through real processors: parked, released in order, never stopped for good."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId, new_job_id
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import run_in_background
from ringback.services.processor.log.turns import TurnWatch
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import ORG, Stage, set_paused
from tests.support.eventually import eventually
from tests.unit.processor.fakes import instruments

_LOG = "ringback.services.processor.log"
_AN_HOUR_AGO = "UPDATE webhook_turns SET checked_at = checked_at - interval '1 hour'"


def event(call_id: str, **script: object) -> dict[str, Any]:
    return {"message": {"type": "test.ordered", "call": {"id": call_id}, "script": script}}


async def parked(stage: Stage, count: int) -> None:
    """Wait until so many webhooks are parked."""

    async def there() -> bool:
        found = await stage.database.fetchval(
            "SELECT count(*) FROM webhook_waits WHERE reason = 'order' AND due_at = 'infinity'"
        )
        assert found == count, f"{found} are parked, not {count}"
        return True

    await eventually(there, deadline_s=60)


async def effects(stage: Stage) -> list[UUID]:
    """The webhooks in the order of their effects."""
    rows = await stage.database.fetch("SELECT job_id FROM effects ORDER BY at")
    return [row["job_id"] for row in rows]


async def nothing_is_left(stage: Stage) -> None:
    async def empty() -> bool:
        left = await stage.database.fetchval(
            "SELECT (SELECT count(*) FROM webhook_turns) + (SELECT count(*) FROM webhook_waits)"
        )
        return bool(left == 0)

    await eventually(empty, deadline_s=30)


async def test_a_dead_letter_gives_its_turn_on(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    await start(stage.place).ready()
    gate = tmp_path / "gate"

    first = [
        await stage.send(event("a", gate=str(gate), permanent="no use")),
        await stage.send(event("b", gate=str(gate), fail_times=3)),
    ]
    for job_id in first:
        await stage.until_run(job_id)
    second = [await stage.send(event(call_id)) for call_id in "ab"]
    await parked(stage, 2)
    gate.touch()

    for job_id in second:
        await stage.until(job_id, "completed", deadline_s=60)
    for job_id in first:
        await stage.until(job_id, "dead_letter")
    assert set(await effects(stage)) == set(second)
    await nothing_is_left(stage)


async def write_pending_row(stage: Stage, job_id: JobId, event_type: str = "test.ordered") -> None:
    """What the gateway writes about a webhook of the call `a`, in any queue or in its spool."""
    columns = [job_id, ORG, "default", event_type, datetime.now(UTC), "a", None, 4]
    sql = load("ringback.services.gateway.log", "insert_pending_rows.sql")
    await stage.database.execute(sql, *([value] for value in columns), uuid4(), None)


async def test_a_webhook_waits_for_an_earlier_one_that_is_in_another_queue(
    stage: Stage, start: Starter
) -> None:
    """Another type, and a webhook whose message is lost, stop nothing for good."""
    await start(stage.place).ready()
    lost, first, unordered, second, third = (new_job_id() for _ in range(5))
    await write_pending_row(stage, lost)
    await write_pending_row(stage, first)
    await write_pending_row(stage, unordered, "test.plain")
    await stage.send(event("a"), job_id=second)
    await parked(stage, 1)
    await stage.send(event("a"), job_id=first)
    await parked(stage, 2)

    assert await eventually(lambda: check(stage.database, 15, 1000), deadline_s=60) == [lost]

    await stage.until(second, "completed", deadline_s=60)
    await stage.send(event("a"), job_id=third)
    await stage.until(third, "completed", deadline_s=60)
    assert await effects(stage) == [first, second, third]
    await nothing_is_left(stage)


async def failed_with_parked(
    stage: Stage, start: Starter, folder: Path, count: int
) -> tuple[JobId, list[JobId]]:
    """A webhook that has failed, with others behind it; no processor runs any more."""
    processor, gate = start(stage.place), folder / "gate"
    await processor.ready()
    first = await stage.send(event("a", gate=str(gate), fail_times=2))
    await stage.until_run(first)
    others = [await stage.send(event("a")) for _ in range(count)]
    await parked(stage, count)
    # So that nothing takes its retry.
    await set_paused(stage, paused=True)
    await eventually(lambda: processor.lines("processing.paused"))
    gate.touch()
    await eventually(lambda: stage.attempts(first))
    processor.kill()
    await set_paused(stage, paused=False)
    return first, others


async def check(database: asyncpg.Connection, gap_s: float, max_parked: int) -> Sequence[UUID]:
    """Check the turns, as processors do every few seconds; return which webhooks were passed."""
    await database.execute(_AN_HOUR_AGO)
    limits = (timedelta(seconds=gap_s), max_parked)
    row = await database.fetchrow(load(_LOG, "check_turns.sql"), *limits)
    assert row is not None
    passed: Sequence[UUID] = row["passed"]
    return passed


async def test_what_is_not_seen_for_too_long_is_passed_and_runs_late(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """Time without a check does not count, and each check counts for ten seconds at most."""
    first, [second, third] = await failed_with_parked(stage, start, tmp_path, 2)

    assert await check(stage.database, 15, 1000) == []
    assert await check(stage.database, 15, 1000) == []
    registry = CollectorRegistry()
    await stage.database.execute(_AN_HOUR_AGO)
    async with asyncpg.create_pool(stage.place.database_url, min_size=1) as pool:
        watch = TurnWatch(
            pool,
            instruments(registry),
            may_check=lambda: True,
            gap_s=15,
            max_parked=1000,
            every_s=0.05,
        )
        async with run_in_background(watch.run):
            await eventually(
                lambda: registry.get_sample_value("webhook_order_passed_total") == 1, deadline_s=30
            )

    start(stage.place)
    await stage.until(third, "completed")
    await stage.until(first, "completed")
    found = await effects(stage)
    assert found.index(second) < found.index(third)
    assert sorted(found) == [first, second, third]
    await nothing_is_left(stage)


async def test_a_failed_one_with_too_many_behind_it_is_passed(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """One that has not failed is not: a processor may be running it."""
    first, _ = await failed_with_parked(stage, start, tmp_path, 3)
    statuses = ("processing", "failed")

    passed = []
    for status in statuses:
        await stage.database.execute(
            "UPDATE webhook_delivery_log SET status = $2 WHERE id = $1", first, status
        )
        passed.append(await check(stage.database, 600, 2))

    assert passed == [[], [first]]


async def test_a_turn_moves_on_when_its_webhook_has_ended_without_giving_it(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """So it is when a new version no longer declares the handler as ordered."""
    first, [second] = await failed_with_parked(stage, start, tmp_path, 1)
    await stage.database.execute(
        "UPDATE webhook_delivery_log SET status = 'completed' WHERE id = $1", first
    )

    assert await check(stage.database, 600, 1000) == []

    turn = await stage.database.fetchrow("SELECT * FROM webhook_turns WHERE org_id = $1", ORG)
    assert turn is not None
    assert turn["delivery_id"] == second
