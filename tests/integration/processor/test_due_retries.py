"""Which of the webhooks that wait is attempted first, and what happens to the others."""

from pathlib import Path

from ringback.contract.identity import JobId
from ringback.contract.topology import DUE_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import Stage, scripted, set_paused


async def test_a_due_retry_does_not_wait_behind_a_backlog(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """All wait for the gate meanwhile. Then the retry runs before the rest of the backlog."""
    gate = tmp_path / "gate"
    retried = await stage.send(scripted("plain", fail_times=1))
    backlog = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(30)]

    start(stage.place, prefetch="2")
    await stage.until(retried, "failed")
    await stage.until_run(backlog[1])
    # It has left its retry queue, and is with the processor.
    await stage.until_empty("webhooks.retry.1.200ms", DUE_QUEUE)
    gate.touch()

    for job_id in (retried, *backlog):
        await stage.until(job_id, "completed")
    [_, retry] = await stage.runs(retried)
    later = [job_id for job_id in backlog if (await stage.runs(job_id))[0]["at"] > retry["at"]]
    assert len(later) > len(backlog) // 2


async def two_run_and_four_wait(
    stage: Stage, start: Starter, gate: Path
) -> tuple[ProcessorProcess, list[JobId]]:
    """Start a processor that waits for the gate; of its eight webhooks two are in the queue."""
    process = start(stage.place, prefetch="6", concurrency="2")
    jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(8)]
    await stage.until_run(jobs[1])
    await stage.until_waiting(WORK_QUEUE, 2)
    return process, jobs


async def test_what_waits_in_memory_is_returned_at_a_pause(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """They are neither run nor counted as attempts."""
    gate = tmp_path / "gate"
    process, jobs = await two_run_and_four_wait(stage, start, gate)

    for _ in range(4):
        await set_paused(stage, paused=True)
        await stage.until_waiting(WORK_QUEUE, 6)
        await set_paused(stage, paused=False)
        await stage.until_empty(WORK_QUEUE)
    ran = [job_id for job_id in jobs if await stage.runs(job_id)]
    gate.touch()

    assert len(ran) == 2
    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
    assert not process.lines("message.quarantined")


async def test_what_waits_in_memory_is_returned_at_a_stop(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """At once, for another processor, while this one finishes what it has begun."""
    gate = tmp_path / "gate"
    process, jobs = await two_run_and_four_wait(stage, start, gate)

    process.terminate()
    await stage.until_waiting(WORK_QUEUE, 6)
    gate.touch()
    assert await process.ended() == 0
    ended = [job_id for job_id in jobs if await stage.attempts(job_id)]
    start(stage.place)

    assert len(ended) == 2
    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert (row["attempts"], len(await stage.runs(job_id))) == (1, 1)


async def test_a_quarantined_webhook_runs_alone_after_what_waits_in_memory(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    start(stage.place, prefetch="6", concurrency="2")
    jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(8)]
    await stage.until_run(jobs[1])
    await stage.until_waiting(WORK_QUEUE, 2)
    quarantined = await stage.send_to_quarantine(scripted("plain", sleep_s=0.3))
    await stage.until_empty(QUARANTINE_QUEUE)
    gate.touch()

    row = await stage.until(quarantined, "completed")
    for job_id in jobs:
        await stage.until(job_id, "completed")
    [run] = await stage.runs(quarantined)
    others = [(await stage.runs(job_id))[0]["at"] for job_id in jobs]
    assert row["attempts"] == run["in_flight"] == 1
    assert len([at for at in others if at < run["at"]]) >= 6
    [attempt] = await stage.attempts(quarantined)
    assert not [at for at in others if run["at"] < at < attempt["ended_at"]]
