"""A pause: processors finish work in flight and consume nothing more; and what they report."""

from pathlib import Path
from uuid import uuid4

import asyncpg

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.place import Place
from tests.integration.processor.stage import HANG, Stage, rows, scripted, set_paused
from tests.support.eventually import eventually


async def test_work_in_flight_is_finished_and_the_rest_waits(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """The listening connection is lost meanwhile; the end of the pause is noticed all the same."""
    process = start(stage.place)
    gate = tmp_path / "gate"
    in_flight = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]
    await stage.until_run(in_flight[-1])

    await set_paused(stage, paused=True)
    await eventually(lambda: process.lines("processing.paused"))
    waiting = await stage.send(HANG)
    gate.touch()

    for job_id in in_flight:
        await stage.until(job_id, "completed")
    await stage.until_waiting(WORK_QUEUE, 1)
    await stage.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'ringback-processor-pause'"
    )
    await set_paused(stage, paused=False)
    await stage.until(waiting, "completed")
    [line] = process.lines("processing.paused")
    assert (line["changed_by"], line["reason"]) == ("ada", "a migration")
    assert len(await eventually(lambda: process.lines("processing.resumed"))) == 1


async def test_a_processor_that_starts_during_a_pause_is_ready_and_records_dead_letters(
    stage: Stage, start: Starter
) -> None:
    """It consumes no webhook, and needs no restart when the pause ends."""
    await set_paused(stage, paused=True)
    job_id = await stage.send(HANG)
    dead = await stage.send(HANG, key="elsewhere")
    [port] = free_ports(1)

    start(stage.place, processor_observability_port=str(port))

    async with exposed(port) as probe:
        await eventually(probe.is_ready)
        await stage.until(dead, "dead_letter")
        await stage.until_empty(DEAD_LETTER_QUEUE)
        assert await probe.has("webhook_processing_paused 1.0")
        assert await stage.depth(WORK_QUEUE) == 1
        assert await stage.row(job_id) is None
        await set_paused(stage, paused=False)
        await stage.until(job_id, "completed")
        await eventually(lambda: probe.has("webhook_processing_paused 0.0"))


async def test_a_pause_of_an_unavailable_database_is_known_when_it_answers(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """Until then nothing is consumed, and the log reports that the pause is unknown."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0"
    )
    await stage.until(await stage.send(HANG), "completed")
    way.refuse()
    await eventually(lambda: process.lines("pause.unknown"))

    await set_paused(stage, paused=True)
    job_id = await stage.send(HANG)
    await eventually(lambda: process.lines("database.unavailable"))
    await stage.until_waiting(WORK_QUEUE, 1)
    way.accept()

    await eventually(lambda: process.lines("processing.paused"))
    await stage.until_waiting(WORK_QUEUE, 1)
    await set_paused(stage, paused=False)
    await stage.until(job_id, "completed")


async def until_row(stage: Stage, **values: object) -> asyncpg.Record:
    """Wait until the only processor reports this."""

    async def reported() -> asyncpg.Record:
        there = await rows(stage)
        assert len(there) == 1
        [row] = there
        assert values.items() <= dict(row).items(), row
        return row

    return await eventually(reported)


async def test_a_row_reports_the_work_in_flight_and_is_deleted_at_the_end(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """A killed processor leaves a silent row; one that is silent for a day is deleted."""
    process = start(stage.place, prefetch="3")
    [first] = await eventually(lambda: rows(stage))
    gate = tmp_path / "gate"
    jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]

    await until_row(stage, id=first["id"], in_flight=3, is_paused=False)
    await set_paused(stage, paused=True)
    await until_row(stage, id=first["id"], in_flight=3, is_paused=True)
    gate.touch()
    idle = await until_row(stage, id=first["id"], in_flight=0, is_paused=True)
    await set_paused(stage, paused=False)
    for job_id in jobs:
        await stage.until(job_id, "completed")
    process.kill()
    await stage.database.execute(
        "INSERT INTO webhook_processors VALUES ($1, 0, false, now() - interval '2 days', "
        "now() - interval '25 hours')",
        uuid4(),
    )
    following = start(stage.place)

    async def two() -> bool:
        there = await rows(stage)
        return len(there) == 2 and there[0]["id"] == first["id"] != there[1]["id"]

    await eventually(two)
    following.terminate()
    assert await following.ended() == 0
    assert idle["seen_at"] > first["seen_at"]
    assert [row["id"] for row in await rows(stage)] == [first["id"]]


async def test_it_continues_under_its_id_after_an_outage(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
    [before] = await eventually(lambda: rows(stage))

    way.refuse()
    await eventually(lambda: process.lines("heartbeat.failed"))
    await stage.database.execute("DELETE FROM webhook_processors")
    way.accept()

    after = await until_row(stage, id=before["id"])
    assert after["started_at"] == before["started_at"]


async def test_it_does_not_delay_webhooks(stage: Stage, start: Starter) -> None:
    """With its table locked, and one connection for all, webhooks still complete."""
    process = start(stage.place, database_pool_max="1")
    await eventually(lambda: rows(stage))
    async with stage.database.transaction():
        await stage.database.execute("LOCK TABLE webhook_processors")
        jobs = [await stage.send(HANG) for _ in range(5)]
        await eventually(lambda: process.lines("heartbeat.failed"))

        for job_id in jobs:
            await stage.until(job_id, "completed")

    assert not process.outages()
