"""Each processor reports in the database that it runs, and what is in flight."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.local.database import PrivateDatabase
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
from tests.integration.processor.test_pause import HANG, set_paused
from tests.support.eventually import eventually


@pytest.fixture
async def way(database: PrivateDatabase) -> AsyncIterator[FaultProxy]:
    """A proxy to the session's database that can be closed."""
    async with FaultProxy(database.port) as proxy:
        yield proxy


async def rows(stage: Stage) -> list[asyncpg.Record]:
    return await stage.database.fetch("SELECT * FROM webhook_processors ORDER BY started_at")


async def until_row(stage: Stage, **values: object) -> asyncpg.Record:
    """Wait until the only processor reports this."""

    async def said() -> asyncpg.Record:
        there = await rows(stage)
        assert len(there) == 1
        assert values.items() <= dict(there[0]).items(), there[0]
        return there[0]

    return await eventually(said)


async def test_a_row_tells_what_is_in_flight_and_goes_at_the_end(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """One row, renewed every second; a processor that stopped leaves no row."""
    process = start(stage.place, prefetch="3")
    first = await eventually(lambda: rows(stage))
    gate = tmp_path / "gate"
    jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]

    busy = await until_row(stage, in_flight=3, prefetch=3, is_paused=False)
    await set_paused(stage, paused=True)
    paused = await until_row(stage, in_flight=3, is_paused=True)
    gate.touch()
    idle = await until_row(stage, in_flight=0, is_paused=True)
    await set_paused(stage, paused=False)
    for job_id in jobs:
        await stage.until(job_id, "completed")
    process.terminate()
    assert await process.ended() == 0

    assert {row["id"] for row in (*first, busy, paused, idle)} == {busy["id"]}
    assert first[0]["started_at"] == idle["started_at"]
    assert timedelta(0) < idle["seen_at"] - first[0]["seen_at"]
    assert not await rows(stage)


async def test_one_that_was_killed_falls_silent_and_its_successor_has_a_row_of_its_own(
    stage: Stage, start: Starter
) -> None:
    """Each has its own row. A row that is silent for a day is deleted."""
    process = start(stage.place)
    [killed] = await eventually(lambda: rows(stage))
    process.kill()
    await stage.database.execute(
        "INSERT INTO webhook_processors VALUES ($1, 5, 0, false, now() - interval '2 days', "
        "now() - interval '25 hours')",
        uuid4(),
    )

    start(stage.place)

    async def two() -> bool:
        there = await rows(stage)
        return len(there) == 2 and there[0]["id"] == killed["id"] != there[1]["id"]

    await eventually(two)


async def test_while_the_database_is_away_it_waits_and_says_so_once(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """It continues under the same id when the database is back."""
    process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
    [before] = await eventually(lambda: rows(stage))

    way.refuse()
    await eventually(lambda: process.lines("heartbeat.failed"))
    await stage.database.execute("DELETE FROM webhook_processors")
    way.accept()

    after = await until_row(stage, id=before["id"])
    assert after["started_at"] == before["started_at"]
    assert len(process.lines("heartbeat.failed")) == 1


async def test_it_never_keeps_anybody_from_work(stage: Stage, start: Starter) -> None:
    """With its table locked, and one connection for all, webhooks still complete."""
    process = start(stage.place, database_pool_max="1")
    await eventually(lambda: rows(stage))
    async with stage.database.transaction():
        await stage.database.execute("LOCK TABLE webhook_processors")
        jobs = [await stage.send(HANG) for _ in range(5)]
        await eventually(lambda: process.lines("heartbeat.failed"))

        for job_id in jobs:
            await stage.until(job_id, "completed")

    process.terminate()
    assert await process.ended() == 0
    assert not process.lines("database.unavailable")
