"""On a stop request, the processor finishes work in flight and leaves the rest to the next one."""

from ringback.contract.topology import WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, scripted


async def test_work_in_flight_is_finished_and_the_rest_is_left(
    stage: Stage, start: Starter
) -> None:
    """Five are in flight and end well; ten wait untouched; the exit status is 0."""
    process = start(stage.place)
    jobs = [await stage.send(scripted("plain", sleep_s=0.7)) for _ in range(15)]
    await stage.until_run(jobs[4])

    process.terminate()

    assert await process.ended() == 0
    in_flight, left = jobs[:5], jobs[5:]
    for job_id in in_flight:
        await stage.until(job_id, "completed", deadline_s=1)
    assert not [job_id for job_id in left if await stage.runs(job_id)]
    await stage.until_waiting(WORK_QUEUE, 10)


async def test_a_handler_longer_than_the_deadline_makes_no_attempt(
    stage: Stage, start: Starter
) -> None:
    """It is cut, nothing is written about it, and the next process begins the attempt again."""
    process = start(stage.place, drain_timeout_s="0.3")
    jobs = [await stage.send(scripted(kind, sleep_s=1.2)) for kind in ("plain", "transaction")]
    for job_id in jobs:
        await stage.until_run(job_id)

    process.terminate()

    assert await process.ended(deadline_s=5) == 0
    for job_id in jobs:
        assert not await stage.attempts(job_id)
    start(stage.place)
    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
    assert await stage.effects(jobs[1]) == 1


async def test_a_handler_that_ignores_its_cancellation_does_not_delay_the_end(
    stage: Stage, start: Starter
) -> None:
    """It cannot keep its webhook after its timeout, nor the process after a stop request."""
    process = start(stage.place, drain_timeout_s="0.1", attempt_timeout_s="0.2")
    job_id = await stage.send(scripted("plain", stubborn=True))
    await stage.until_run(job_id, times=2)
    [attempt] = await stage.attempts(job_id)
    assert attempt["error_class"] == "timeout"

    process.terminate()

    assert await process.ended(deadline_s=8) == 0
