"""The default retry schedule, in real time."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import opened, scripted


@pytest.mark.slow
async def test_a_webhook_that_always_fails_is_attempted_at_0_2_6_and_14_seconds(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """No attempt begins before its delay has passed."""
    place = Place(amqp_url, database_url, retry_schedule="2s,4s,8s")
    await place.prepare()
    process = ProcessorProcess(place, tmp_path / "processor.log")
    try:
        async with opened(place) as stage:
            await stage.until(await stage.send(scripted("plain")), "completed")

            job_id = await stage.send(scripted("plain", fail_times=99))

            row = await stage.until(job_id, "dead_letter", deadline_s=25)
            began = [run["at"] for run in await stage.runs(job_id)]
    finally:
        process.kill()
    assert (row["attempts"], row["max_attempts"]) == (4, 4)
    waits_s = [(after - before).total_seconds() for before, after in pairwise(began)]
    for wait_s, delay_s in zip(waits_s, (2, 4, 8), strict=True):
        assert wait_s >= delay_s
