"""A process that dies at the worst moment: committed results are repeated to the broker."""

import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted

#: The final place of a webhook after an attempt with this script.
ENDS: dict[str, dict[str, object]] = {
    "completed": {},
    "failed": {"fail_times": 1},
    "permanent": {"permanent": "no use"},
}


@pytest.mark.parametrize(
    ("kind", "outcome"), [*[("plain", outcome) for outcome in ENDS], ("transaction", "completed")]
)
async def test_an_attempt_is_not_repeated_after_a_kill_between_commit_and_answer(
    stage: Stage, start: Starter, proxy: FaultProxy, kind: str, outcome: str
) -> None:
    """The next process finds the attempt's row and gives the answer that the first could not."""
    leaky = Place(proxy.through(stage.place.amqp_url), stage.place.database_url)
    first = start(leaky)
    await first.ready()
    job_id = await stage.send(scripted(kind, sleep_s=0.2, **ENDS[outcome]))
    await stage.until_run(job_id)

    proxy.withhold()
    await stage.until(job_id, "completed" if outcome == "completed" else "failed")
    first.kill()
    proxy.cut()
    start(stage.place)

    await stage.until(job_id, "dead_letter" if outcome == "permanent" else "completed")
    await stage.until_empty(WORK_QUEUE, DEAD_LETTER_QUEUE)
    attempts = 2 if outcome == "failed" else 1
    assert len(await stage.attempts(job_id)) == attempts
    assert len(await stage.runs(job_id)) == attempts


async def test_an_attempt_is_repeated_after_a_kill_during_the_handler(
    stage: Stage, start: Starter
) -> None:
    """Uncommitted work did not happen; a webhook is never lost with its process."""
    first = start(stage.place)
    plain = await stage.send(scripted("plain", sleep_s=1))
    transactional = await stage.send(scripted("transaction", sleep_s=1))
    await stage.until_run(plain)
    await stage.until_run(transactional)

    first.kill()
    start(stage.place)

    for job_id in (plain, transactional):
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
        assert len(await stage.attempts(job_id)) == 1
        assert len(await stage.runs(job_id)) == 2
    assert await stage.effects(transactional) == 1
