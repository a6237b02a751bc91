"""Which of the webhooks that wait is attempted first, and what happens to the others."""

from pathlib import Path
from uuid import UUID

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import BULK_KEY
from ringback.contract.topology import BULK_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import (
    FIRST_KEY,
    ORG,
    Stage,
    rows,
    scripted,
    set_paused,
)
from tests.support.eventually import eventually


async def test_a_due_retry_does_not_wait_behind_a_backlog(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """All wait for the gate meanwhile. Then the retry runs before the rest of the backlog."""
    gate = tmp_path / "gate"
    retried = await stage.send(scripted("plain", fail_times=1))
    backlog = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(30)]

    start(stage.place, prefetch="2")
    await eventually(lambda: stage.attempts(retried))
    await stage.until_run(backlog[1])
    await eventually(lambda: retry_is_received(stage))
    gate.touch()

    for job_id in (retried, *backlog):
        await stage.until(job_id, "completed")
    [_, retry] = await stage.runs(retried)
    later = [job_id for job_id in backlog if (await stage.runs(job_id))[0]["at"] > retry["at"]]
    assert len(later) > len(backlog) // 2


async def retry_is_received(stage: Stage) -> bool:
    """Whether the processor reports the retry beside the two that run."""
    return [row["in_flight"] for row in await rows(stage)] == [3]


async def two_run_and_four_wait(
    stage: Stage, start: Starter, gate: Path, *, key: str = FIRST_KEY, queue: str = WORK_QUEUE
) -> tuple[ProcessorProcess, list[JobId]]:
    """Start a processor that waits for the gate; of its eight webhooks two are in the queue."""
    process = start(stage.place, prefetch="6", concurrency="2")
    jobs = [await stage.send(scripted("plain", gate=str(gate)), key=key) for _ in range(8)]
    await stage.until_run(jobs[1])
    await stage.until_waiting(queue, 2)
    return process, jobs


async def test_what_waits_in_memory_is_returned_at_a_pause(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """To its queue. They are neither run nor counted as attempts."""
    gate, queue = tmp_path / "gate", BULK_QUEUE
    process, jobs = await two_run_and_four_wait(stage, start, gate, key=BULK_KEY, queue=queue)

    for _ in range(4):
        await set_paused(stage, paused=True)
        await stage.until_waiting(queue, 6)
        await set_paused(stage, paused=False)
        await stage.until_empty(queue)
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
    _, jobs = await two_run_and_four_wait(stage, start, gate)
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


OTHER_ORG = UUID("00000000-0000-4000-8000-00000000000b")


async def test_one_first_attempt_in_five_is_from_the_bulk_queue(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """All are in memory before the first slot is free, so the order depends on nothing else."""
    gate = tmp_path / "gate"
    start(stage.place, prefetch="10", concurrency="1")
    busy = await stage.send(scripted("plain", gate=str(gate)), key=BULK_KEY)
    await stage.until_run(busy)
    work = [await stage.send(scripted("plain")) for _ in range(9)]
    bulk = [await stage.send(scripted("plain"), key=BULK_KEY) for _ in range(4)]
    await stage.until_empty(WORK_QUEUE, BULK_QUEUE)
    gate.touch()

    for job_id in (*work, *bulk):
        await stage.until(job_id, "completed")
    ran = await stage.database.fetch("SELECT job_id FROM runs WHERE job_id <> $1 ORDER BY at", busy)
    turns = "".join("w" if row["job_id"] in work else "b" for row in ran)
    assert turns == "wwwwbwwwwbwbb"


async def test_an_org_that_hangs_leaves_slots_and_the_queue_to_others(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """What it has too much is parked, without an attempt."""
    gate = tmp_path / "gate"
    hanging = scripted("plain", gate=str(gate))
    first = await stage.send(scripted("plain"), org_id=OTHER_ORG)
    hung = [await stage.send(hanging, org_id=ORG) for _ in range(20)]
    last = await stage.send(scripted("plain"), org_id=OTHER_ORG)
    process = start(stage.place, prefetch="5")

    for job_id in (first, last):
        await stage.until(job_id, "completed")
    ran = [job_id for job_id in hung if await stage.runs(job_id)]
    parked = {line["job_id"] for line in process.lines("message.parked")}
    gate.touch()

    assert ran == hung[:3]
    # Three run. Of the others at most one can have been in the prefetch with the last webhook.
    assert len(parked) >= len(hung) - 4
    assert parked.isdisjoint(map(str, ran))
    for job_id in hung:
        row = await stage.until(job_id, "completed")
        assert (row["attempts"], len(await stage.runs(job_id))) == (1, 1)
