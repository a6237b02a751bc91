"""The database stops answering and returns: this costs no webhook an attempt."""

from pathlib import Path

import asyncpg
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import QUARANTINE_QUEUE, WORK_QUEUE
from ringback.local.database import PrivateDatabase
from ringback.runtime.postgres.migrate import migrate
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import HANG, ORG, Stage, opened, scripted
from tests.support.eventually import eventually


async def test_a_restart_of_the_database_is_waited_for(
    amqp_url: str, own_database: PrivateDatabase, start: Starter, tmp_path: Path
) -> None:
    """Webhooks in flight wait meanwhile: each runs once and completes at its first attempt."""
    await migrate(own_database.url())
    place = Place(amqp_url, own_database.url())
    await place.prepare()
    start(place)
    gate = tmp_path / "gate"
    async with opened(place) as stage:
        jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]
        # Before that the handlers themselves use the database, and fail without it.
        await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == len(jobs))
        waiting = [await stage.send(HANG) for _ in range(10)]

    await own_database.stop()
    gate.touch()
    await own_database.start()

    async with opened(place) as stage:
        for job_id in jobs + waiting:
            row = await stage.until(job_id, "completed")
            assert row["attempts"] == 1
            assert len(await stage.runs(job_id)) == (job_id in jobs)


@pytest.mark.parametrize("wait_s", ["0.3", "60"], ids=["requeued", "held"])
async def test_a_stop_while_the_database_is_unavailable_loses_nothing(
    stage: Stage, start: Starter, way: FaultProxy, wait_s: str
) -> None:
    """The next process finds all webhooks, also those begun, and waits for the database."""
    place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
    process = start(place, database_wait_s=wait_s, drain_timeout_s="1")
    await stage.until(await stage.send(scripted("plain")), "completed")
    begun = await stage.send(scripted("plain", sleep_s=1))
    await stage.until_run(begun)
    way.refuse()
    kinds = ["plain", "transaction", "data"] * 3
    jobs = [begun, *[await stage.send(scripted(kind)) for kind in kinds]]
    dead = await stage.send(HANG, key="elsewhere")
    await eventually(lambda: bool(process.lines("database.unavailable")))

    process.terminate()
    assert await process.ended() == 0
    await stage.until_waiting(WORK_QUEUE, len(jobs))
    following = start(place)
    await following.ready()
    await eventually(lambda: bool(following.lines("database.unavailable")))
    assert await stage.depth(WORK_QUEUE) == len(jobs)
    way.accept()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == len(await stage.attempts(job_id)) == 1
    await stage.until(dead, "dead_letter")


async def test_many_outages_quarantine_nothing(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """Webhooks are requeued after the wait, and consumed again when the database answers."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0.5"
    )
    await stage.until(await stage.send(scripted("plain")), "completed")
    # The row is committed before the processor knows it.
    await eventually(lambda: bool(process.lines("attempt.finished")))
    way.refuse()
    jobs = [await stage.send(HANG) for _ in range(5)]

    # While another session writes these attempts, the database answers but records none.
    holder = await asyncpg.connect(stage.place.database_url)
    writing = holder.transaction()
    await writing.start()
    await holder.execute(
        "INSERT INTO webhook_delivery_attempts "
        "(delivery_id, attempt, org_id, outcome, started_at, ended_at) "
        "SELECT unnest($1::uuid[]), 1, $2, 'failed', now(), now()",
        jobs,
        ORG,
    )
    for outages in range(1, 6):
        await stage.until_waiting(WORK_QUEUE, 5)
        way.accept()
        await eventually(
            lambda n=outages: len(process.lines("database.recovered")) >= n  # type: ignore[misc]
        )
        # If cut before they are consumed, the connection would be back before anything noticed.
        await stage.until_waiting(WORK_QUEUE, 0)
        way.refuse()
    await writing.rollback()
    await holder.close()
    way.accept()

    for job_id in jobs:
        assert (await stage.until(job_id, "completed"))["attempts"] == 1
    assert not process.lines("message.quarantined")
    assert await stage.depth(QUARANTINE_QUEUE) == 0
