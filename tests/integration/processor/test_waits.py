"""Webhooks that wait in PostgreSQL, from their message to their end, with a whole processor."""

from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import DUE_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually

#: Neither delay is that of a retry queue, so both are waits.
WAITS = RetrySchedule.parse("300ms,500ms")
HOURS = RetrySchedule.parse("1h,1h")


async def wait_of(stage: Stage, job_id: JobId) -> asyncpg.Record | None:
    return await stage.database.fetchrow(
        "SELECT *, extract(epoch FROM due_at - created_at)::float AS delay_s"
        " FROM webhook_waits WHERE delivery_id = $1",
        job_id,
    )


async def until_waiting(stage: Stage, job_id: JobId, attempt: int) -> asyncpg.Record:
    async def there() -> asyncpg.Record | None:
        row = await wait_of(stage, job_id)
        return row if row is not None and row["attempt"] == attempt else None

    return await eventually(there)


async def make_due(stage: Stage) -> None:
    await stage.database.execute("UPDATE webhook_waits SET due_at = now()")


async def until_nothing_waits(stage: Stage) -> None:
    count = "SELECT count(*) = 0 FROM webhook_waits"
    await eventually(lambda: stage.database.fetchval(count))


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_an_endpoint_s_own_schedule_is_followed_to_its_end(shared: Stage, kind: str) -> None:
    """Each attempt runs once; the last failure is a dead letter, and nothing is left."""
    completed, dead = [
        await shared.send(scripted(kind, fail_times=fails), retry_schedule=WAITS)
        for fails in (2, 9)
    ]

    row = await shared.until(completed, "completed")
    assert (row["attempts"], row["max_attempts"]) == (3, 3)
    row = await shared.until(dead, "dead_letter")
    assert (row["attempts"], row["error_message"]) == (3, "attempt 3 failed")
    for job_id in (completed, dead):
        attempts = await shared.attempts(job_id)
        assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
        waited = [
            (after["started_at"] - before["ended_at"]).total_seconds()
            for before, after in pairwise(attempts)
        ]
        assert waited[0] >= 0.3
        assert waited[1] >= 0.5
        assert len(await shared.runs(job_id)) == 3
    assert await shared.effects(completed) == (kind == "transaction")
    for job_id in (completed, dead):
        await eventually(lambda job_id=job_id: _is_gone(shared, job_id))  # type: ignore[misc]


async def _is_gone(stage: Stage, job_id: JobId) -> bool:
    return await wait_of(stage, job_id) is None


async def test_waits_survive_another_schedule_with_every_byte_of_the_body(
    stage: Stage, start: Starter
) -> None:
    """What waits keeps its time, and spaces, the order of keys and escapes; the log does not.

    The next failure follows the new schedule.
    """
    body = (
        b'{ "message" : {"type":"test.plain", "z":1.0e2,\t"a":"\\u00e9 \xc3\xa9",'
        b'"script":{"fail_times":1}}}'
    )
    of_endpoint = await stage.send(body, retry_schedule=HOURS)
    job_id = await stage.send(scripted("plain", fail_times=2))
    process = start(Place(stage.place.amqp_url, stage.place.database_url, "1h"))
    for one in (job_id, of_endpoint):
        row = await until_waiting(stage, one, 2)
        assert 3600 <= row["delay_s"] <= 3960
    assert row["body"] == body
    process.terminate()
    await process.ended()

    start(stage.place)
    await make_due(stage)

    row = await stage.until(job_id, "completed")
    assert (row["attempts"], row["max_attempts"]) == (3, 3)
    await stage.until(of_endpoint, "completed")
    outcomes = [attempt["outcome"] for attempt in await stage.attempts(of_endpoint)]
    assert outcomes == ["failed", "completed"]


async def test_a_handler_without_its_destination_uses_no_attempt(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """A plain and a transactional one: nothing is recorded or kept until it is available."""
    gate = tmp_path / "available"
    jobs = [
        await stage.send(scripted(kind, steps=["effect"] * (kind != "plain"), needs=str(gate)))
        for kind in ("plain", "transaction")
    ]
    start(stage.place)
    for job_id in jobs:
        row = await until_waiting(stage, job_id, 1)
        assert (row["reason"], row["destination"]) == ("destination", "crm")
        status = await stage.row(job_id)
        assert status is not None
        assert (status["status"], status["attempts"]) == ("pending", 0)
        assert not await stage.attempts(job_id)
        assert not await stage.effects(job_id)

    await eventually(lambda: _has_run_again(stage, jobs))
    gate.touch()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
    assert await stage.effects(jobs[1]) == 2
    await until_nothing_waits(stage)


async def _has_run_again(stage: Stage, jobs: list[JobId]) -> bool:
    return all([len(await stage.runs(job_id)) > 1 for job_id in jobs])


async def test_a_message_that_is_published_twice_runs_once(stage: Stage, start: Starter) -> None:
    """A processor was killed between publish and delete; another publishes it again."""
    job_id = await stage.send(scripted("plain", fail_times=1), retry_schedule=HOURS)
    process = start(stage.place)
    await until_waiting(stage, job_id, 2)
    process.kill()
    # The row that the process could not delete any more.
    await stage.database.execute("CREATE TABLE kept AS SELECT * FROM webhook_waits")
    start(stage.place)
    await make_due(stage)
    await stage.until(job_id, "completed")
    await until_nothing_waits(stage)

    # Not yet known to have ended, as it was at the publish.
    await stage.database.execute("UPDATE webhook_delivery_log SET status = 'failed'")
    await stage.database.execute("INSERT INTO webhook_waits SELECT * FROM kept")
    await make_due(stage)
    await until_nothing_waits(stage)
    await stage.until_empty(WORK_QUEUE, DUE_QUEUE)

    assert len(await stage.runs(job_id)) == 2
    assert [row["attempt"] for row in await stage.attempts(job_id)] == [1, 2]
