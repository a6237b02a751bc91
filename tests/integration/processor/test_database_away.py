"""The database stops answering and returns: this costs no webhook an attempt."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import QUARANTINE_QUEUE, WORK_QUEUE
from ringback.local.database import PrivateDatabase
from ringback.runtime.postgres.migrate import migrate
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import ORG, Stage, opened, scripted
from tests.support.eventually import eventually


@pytest.fixture
async def way(database: PrivateDatabase) -> AsyncIterator[FaultProxy]:
    """A proxy to the session's database that can be closed."""
    async with FaultProxy(database.port) as proxy:
        yield proxy


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
        # PreviousAttempt that the handlers themselves use the database, and fail without it.
        await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == len(jobs))
        waiting = [await stage.send({"message": {"type": "hang"}}) for _ in range(10)]

    await own_database.stop()
    gate.touch()
    await own_database.start()

    async with opened(place) as stage:
        for job_id in jobs + waiting:
            row = await stage.until(job_id, "completed")
            assert row["attempts"] == 1
            assert len(await stage.runs(job_id)) == (job_id in jobs)


@pytest.mark.parametrize("kind", ["plain", "transaction", "data"])
async def test_held_for_too_long_it_is_returned_and_costs_no_attempt(
    stage: Stage, start: Starter, way: FaultProxy, kind: str
) -> None:
    """After the wait they are back at the broker; the processor continues without help."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0.5"
    )
    await stage.until(await stage.send(scripted("plain")), "completed")
    # The row is committed before the processor knows it.
    await eventually(lambda: bool(process.lines("attempt.finished")))
    way.refuse()

    jobs = [await stage.send(scripted(kind)) for _ in range(8)]
    await eventually(lambda: bool(process.lines("database.unavailable")))
    await stage.until_waiting(WORK_QUEUE, 8)
    way.accept()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == len(await stage.attempts(job_id)) == 1
    assert process.exit_code is None


@pytest.mark.parametrize("hold_s", ["0.3", "60"], ids=["returned", "held"])
async def test_a_shutdown_while_the_database_is_away_loses_nothing(
    stage: Stage, start: Starter, way: FaultProxy, hold_s: str
) -> None:
    """It stops on request, and the next process finds all webhooks, also those begun."""
    place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
    process = start(place, database_wait_s=hold_s, drain_timeout_s="1")
    await stage.until(await stage.send(scripted("plain")), "completed")
    begun = await stage.send(scripted("plain", sleep_s=1))
    await stage.until_run(begun)
    way.refuse()
    kinds = ["plain", "transaction", "data"] * 3
    jobs = [begun, *[await stage.send(scripted(kind)) for kind in kinds]]
    await eventually(lambda: bool(process.lines("database.unavailable")), deadline_s=20)

    process.terminate()
    assert await process.ended(deadline_s=20) == 0
    await stage.until_waiting(WORK_QUEUE, len(jobs))
    following = start(place)
    await following.ready()
    assert await stage.depth(WORK_QUEUE) == len(jobs)
    way.accept()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == len(await stage.attempts(job_id)) == 1


async def test_many_outages_make_no_quarantine(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """A webhook that was returned again and again because of the database is not quarantined."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0"
    )
    await stage.until(await stage.send(scripted("plain")), "completed")
    way.refuse()
    jobs = [await stage.send({"message": {"type": "hang"}}) for _ in range(5)]

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
        # A ping in progress when the link was cut may take its whole 5 s.
        await eventually(
            lambda n=outages: len(process.lines("database.recovered")) >= n,  # type: ignore[misc]
            deadline_s=30,
        )
        # If cut before they are consumed, the link would be back before anything noticed.
        await stage.until_waiting(WORK_QUEUE, 0)
        way.refuse()
    await writing.rollback()
    await holder.close()
    way.accept()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == 1
    assert not process.lines("message.quarantined")
    assert await stage.depth(QUARANTINE_QUEUE) == 0


async def test_dead_letters_wait_for_the_database(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """Messages of the dead-letter queue stay there until they can be recorded."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0.2"
    )
    await stage.until(await stage.send(scripted("plain")), "completed")
    way.refuse()
    job_id = await stage.send(scripted("plain"), key="elsewhere")
    await eventually(lambda: bool(process.lines("database.unavailable")))

    way.accept()

    await stage.until(job_id, "dead_letter")


async def test_a_database_that_is_away_at_the_start_is_waited_for(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """The processor starts, consumes nothing, and begins when the database answers."""
    way.refuse()
    process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
    job_id = await stage.send(scripted("plain"))
    await process.ready()
    await eventually(lambda: bool(process.lines("database.unavailable")))
    assert await stage.depth(WORK_QUEUE) == 1

    way.accept()

    await stage.until(job_id, "completed")
