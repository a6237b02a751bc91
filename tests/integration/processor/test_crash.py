"""A process dies: committed results are repeated, and a webhook that kills it runs exclusively."""

from pathlib import Path
from uuid import UUID

import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.retry_schedule import BULK_KEY
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    QUARANTINE_DELIVERY_LIMIT,
    QUARANTINE_QUEUE,
    WORK_QUEUE,
)
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import FIRST_KEY, Stage, scripted
from tests.support.eventually import eventually

#: The final place of a webhook after an attempt with this script.
ENDS: dict[str, dict[str, object]] = {
    "completed": {},
    "failed": {"fail_times": 1},
    "permanent": {"permanent": "no use"},
}


@pytest.mark.parametrize(
    ("kind", "outcome", "key"),
    [
        ("plain", "permanent", FIRST_KEY),
        ("transaction", "completed", FIRST_KEY),
        ("plain", "failed", BULK_KEY),
    ],
)
async def test_an_attempt_is_not_repeated_after_a_kill_between_commit_and_answer(
    stage: Stage,
    start: Starter,
    proxy: FaultProxy,
    tmp_path: Path,
    kind: str,
    outcome: str,
    key: str,
) -> None:
    """The next process finds the attempt's row and gives the answer that the first could not."""
    leaky = Place(proxy.through(stage.place.amqp_url), stage.place.database_url)
    first = start(leaky)
    await first.ready()
    gate = tmp_path / "gate"
    job_id = await stage.send(scripted(kind, gate=str(gate), **ENDS[outcome]), key=key)
    await stage.until_run(job_id)

    proxy.withhold()
    gate.touch()
    await stage.until(job_id, "completed" if outcome == "completed" else "failed")
    first.kill()
    proxy.cut()
    start(stage.place)

    await stage.until(job_id, "dead_letter" if outcome == "permanent" else "completed")
    await stage.until_empty(WORK_QUEUE, BULK_QUEUE, DEAD_LETTER_QUEUE)
    attempts = 2 if outcome == "failed" else 1
    assert len(await stage.attempts(job_id)) == attempts
    assert len(await stage.runs(job_id)) == attempts


async def test_an_attempt_is_repeated_after_a_kill_during_the_handler(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """Uncommitted work did not happen; a webhook is never lost with its process."""
    first, gate = start(stage.place), tmp_path / "gate"
    plain = await stage.send(scripted("plain", gate=str(gate)))
    transactional = await stage.send(scripted("transaction", gate=str(gate)))
    await stage.until_run(plain)
    await stage.until_run(transactional)

    first.kill()
    gate.touch()
    start(stage.place)

    for job_id in (plain, transactional):
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
        assert len(await stage.attempts(job_id)) == 1
        assert len(await stage.runs(job_id)) == 2
    assert await stage.effects(transactional) == 1


QUEUES = (WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE)


class Restarted:
    """Starts the processor again whenever it dies, as an orchestrator does."""

    def __init__(self, start: Starter, stage: Stage, **settings: str) -> None:
        self._start = start
        self._stage = stage
        self._settings = settings
        self.process: ProcessorProcess = start(stage.place, **settings)
        self.deaths = 0

    def has_died(self, times: int) -> bool:
        """Start it again if it is dead; return whether it has died this often."""
        if self.process.exit_code is not None:
            assert self.process.exit_code == 9, self.process.output()
            self.deaths += 1
            self.process = self._start(self._stage.place, **self._settings)
        return self.deaths >= times

    async def until(self, job_id: UUID, status: str) -> None:
        async def there() -> bool:
            self.has_died(0)
            row = await self._stage.row(job_id)
            return row is not None and row["status"] == status

        await eventually(there)


@pytest.mark.slow
async def test_a_webhook_that_kills_the_process_each_time_is_a_dead_letter(
    stage: Stage, start: Starter
) -> None:
    """Three crashes beside others, three in quarantine, then it is dead; neighbours finish."""
    processor = Restarted(start, stage)
    neighbours = [await stage.send(scripted("plain", sleep_s=0.2)) for _ in range(2)]
    killer = await stage.send(scripted("plain", crash_times=99))
    neighbours += [await stage.send(scripted("plain", sleep_s=0.2)) for _ in range(2)]

    await processor.until(killer, "dead_letter")

    row = await stage.until(killer, "dead_letter")
    for job_id in neighbours:
        await stage.until(job_id, "completed")
    await stage.until_empty(*QUEUES)
    assert (row["error_class"], row["attempts"]) == ("process_crash", 1)
    assert not await stage.attempts(killer)
    assert processor.deaths == len(await stage.runs(killer)) == 6


@pytest.mark.slow
async def test_a_quarantined_webhook_is_retried_and_completed(stage: Stage, start: Starter) -> None:
    """Nothing else runs beside it. A failed attempt counts, and the next one runs beside others."""
    processor = Restarted(start, stage)
    job_id = await stage.send(scripted("plain", crash_times=3, fail_times=2, sleep_s=0.3))
    await eventually(lambda: processor.has_died(3))
    others = [await stage.send(scripted("plain", sleep_s=0.05)) for _ in range(10)]

    await processor.until(job_id, "completed")

    attempts = await stage.attempts(job_id)
    assert [attempt["outcome"] for attempt in attempts] == ["failed", "failed", "completed"]
    assert (attempts[1]["started_at"] - attempts[0]["ended_at"]).total_seconds() >= 0.2
    assert (await stage.runs(job_id))[3]["in_flight"] == 1
    assert processor.deaths == 3
    for other in others:
        await stage.until(other, "completed")
    await stage.until_empty(*QUEUES)


@pytest.mark.slow
async def test_a_stop_during_quarantine_is_not_counted_as_a_crash(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """One more crash would be the last; after the stop it runs again and completes."""
    gate = tmp_path / "gate"
    job_id = await stage.send_to_quarantine(
        scripted("plain", gate=str(gate)), crashes=QUARANTINE_DELIVERY_LIMIT - 1
    )
    process = start(stage.place, drain_timeout_s="0")
    await stage.until_run(job_id)

    process.terminate()
    assert await process.ended() == 0
    gate.touch()
    start(stage.place)

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == 1
    assert len(await stage.runs(job_id)) == 2
    await stage.until_empty(*QUEUES)
