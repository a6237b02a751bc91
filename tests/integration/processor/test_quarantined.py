"""A webhook that may be what kills the process runs exclusively; its neighbours finish."""

from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.restarted import Restarted
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_what_kills_the_process_each_time_ends_as_a_dead_letter(
    stage: Stage, start: Starter
) -> None:
    """Three crashes beside others, three in quarantine, then it is dead; neighbours finished."""
    processor = Restarted(start, stage)
    neighbours = [await stage.send(scripted("plain", sleep_s=0.2)) for _ in range(2)]
    killer = await stage.send(scripted("plain", crash_times=99))
    neighbours += [await stage.send(scripted("plain", sleep_s=0.2)) for _ in range(2)]

    await processor.until(killer, "dead_letter")

    row = await stage.until(killer, "dead_letter")
    for job_id in neighbours:
        await stage.until(job_id, "completed")
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE)
    assert row["error_class"] == "process_crash"
    assert row["attempts"] == 1
    assert not await stage.attempts(killer)
    assert processor.deaths == len(await stage.runs(killer)) == 6


async def test_a_quarantine_that_succeeds_is_completed(stage: Stage, start: Starter) -> None:
    """Quarantine does not dead-letter it; nothing else runs in this process meanwhile."""
    processor = Restarted(start, stage)
    quarantine = await stage.send(scripted("plain", crash_times=3, sleep_s=0.3))
    await eventually(lambda: processor.has_died(3), deadline_s=20)
    others = [await stage.send(scripted("plain", sleep_s=0.05)) for _ in range(10)]

    await processor.until(quarantine, "completed")

    row = await stage.until(quarantine, "completed")
    assert row["attempts"] == 1
    assert (await stage.runs(quarantine))[-1]["in_flight"] == 1
    for job_id in others:
        await stage.until(job_id, "completed")
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE)


async def test_a_quarantine_that_fails_climbs_to_its_retry_queue(
    stage: Stage, start: Starter
) -> None:
    """Its failed attempt counts, and the next one is made after the delay, beside others again."""
    processor = Restarted(start, stage)
    quarantine = await stage.send(scripted("plain", crash_times=3, fail_times=2))

    await processor.until(quarantine, "completed")

    attempts = await stage.attempts(quarantine)
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "failed", "completed"]
    assert (attempts[1]["started_at"] - attempts[0]["ended_at"]).total_seconds() >= 0.2
    assert processor.deaths == 3
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE)
