"""A quarantined message that an orderly stop interrupts has not crashed anything."""

from pathlib import Path

from ringback.contract.topology import QUARANTINE_DELIVERY_LIMIT, QUARANTINE_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, scripted
from tests.integration.processor.test_pause_beside import accuse


async def test_stops_do_not_make_a_dead_letter_of_it(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """However often it is stopped, it runs again, and completes at its first attempt."""
    gate = tmp_path / "gate"
    job_id = await stage.send(scripted("plain", gate=str(gate)))
    await stage.until_waiting(WORK_QUEUE, 1)
    await accuse(stage)

    for stops in range(QUARANTINE_DELIVERY_LIMIT + 1):
        process = start(stage.place, drain_timeout_s="0")
        await stage.until_run(job_id, times=stops + 1)
        process.terminate()
        assert await process.ended() == 0
        await stage.until_waiting(QUARANTINE_QUEUE, 1)
    gate.touch()
    start(stage.place)

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == 1
    await stage.until_empty(QUARANTINE_QUEUE, WORK_QUEUE)
