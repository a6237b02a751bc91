"""Each processor reports in the database that it runs, and what is in flight."""

from pathlib import Path
from uuid import uuid4

import asyncpg

from chaos.fault_proxy import FaultProxy
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import HANG, Stage, rows, scripted, set_paused
from tests.support.eventually import eventually


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

    await until_row(stage, id=first["id"], in_flight=3, prefetch=3, is_paused=False)
    await set_paused(stage, paused=True)
    await until_row(stage, id=first["id"], in_flight=3, is_paused=True)
    gate.touch()
    idle = await until_row(stage, id=first["id"], in_flight=0, is_paused=True)
    await set_paused(stage, paused=False)
    for job_id in jobs:
        await stage.until(job_id, "completed")
    process.kill()
    await stage.database.execute(
        "INSERT INTO webhook_processors VALUES ($1, 5, 0, false, now() - interval '2 days', "
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
    """The log names the outage once."""
    process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
    [before] = await eventually(lambda: rows(stage))

    way.refuse()
    await eventually(lambda: process.lines("heartbeat.failed"))
    await stage.database.execute("DELETE FROM webhook_processors")
    way.accept()

    after = await until_row(stage, id=before["id"])
    assert after["started_at"] == before["started_at"]
    assert len(process.lines("heartbeat.failed")) == 1


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

    assert not process.lines("database.unavailable")
