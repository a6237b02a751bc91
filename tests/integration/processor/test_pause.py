"""A pause: processors finish work in flight and consume nothing more until it ends."""

import time
from pathlib import Path

import pytest

from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from ringback.local.ports import free_ports
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually

HANG = {"message": {"type": "hang"}}


async def set_paused(stage: Stage, *, paused: bool) -> None:
    await stage.database.execute(
        "SELECT set_webhook_processing($1, 'ada', 'service', 'a migration')", paused
    )


async def listening(stage: Stage) -> int | None:
    """The backend of the connection by which the only processor of this place listens."""
    pid: int | None = await stage.database.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'ringback-processor-pause' "
        "AND query LIKE '%FROM webhook_processing%'"
    )
    return pid


async def test_in_flight_is_finished_and_the_rest_waits_for_the_end_of_the_pause(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """Five end well, the sixth waits; it is consumed within a second after the pause ends."""
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
    await set_paused(stage, paused=False)
    resumed_at = time.monotonic()
    await stage.until(waiting, "completed")
    assert time.monotonic() - resumed_at < 1
    [line] = process.lines("processing.paused")
    assert (line["changed_by"], line["reason"]) == ("ada", "a migration")
    assert len(process.lines("processing.resumed")) == 1


async def test_dead_letters_are_recorded_during_a_pause(stage: Stage, start: Starter) -> None:
    """An investigator sees all of it."""
    await set_paused(stage, paused=True)
    start(stage.place)

    job_id = await stage.send(HANG, key="elsewhere")

    await stage.until(job_id, "dead_letter")
    await stage.until_empty(DEAD_LETTER_QUEUE)


async def test_a_pause_outlives_the_processor_and_leaves_it_ready(
    stage: Stage, start: Starter
) -> None:
    """A processor that starts during a pause consumes nothing, and needs no restart."""
    await set_paused(stage, paused=True)
    job_id = await stage.send(HANG)
    [port] = free_ports(1)

    start(stage.place, processor_observability_port=str(port))

    async with exposed(port) as probe:
        await eventually(probe.is_ready)
        assert await probe.has("webhook_processing_paused 1.0")
        assert await stage.depth(WORK_QUEUE) == 1
        assert await stage.row(job_id) is None
        await set_paused(stage, paused=False)
        await stage.until(job_id, "completed")
        await eventually(lambda: probe.has("webhook_processing_paused 0.0"))
        assert await probe.is_ready()


async def test_a_change_without_a_word_is_noticed(stage: Stage, start: Starter) -> None:
    """The row counts, whoever wrote it."""
    process = start(stage.place)
    await stage.until(await stage.send(HANG), "completed")

    await stage.database.execute("UPDATE webhook_processing SET paused = true")

    await eventually(lambda: process.lines("processing.paused"))
    job_id = await stage.send(HANG)
    await stage.database.execute("UPDATE webhook_processing SET paused = false")
    await stage.until(job_id, "completed")


async def test_a_lost_connection_is_made_anew(stage: Stage, start: Starter) -> None:
    """Changes in between are queried, and the next notification arrives."""
    process = start(stage.place)
    before = await eventually(lambda: listening(stage))
    await stage.database.execute("SELECT pg_terminate_backend($1)", before)
    await set_paused(stage, paused=True)

    await eventually(lambda: process.lines("processing.paused"))

    assert await listening(stage) != before
    job_id = await stage.send(HANG)
    await set_paused(stage, paused=False)
    resumed_at = time.monotonic()
    await stage.until(job_id, "completed")
    assert time.monotonic() - resumed_at < 1
    assert len(process.lines("pause.unknown")) <= 1


@pytest.mark.parametrize("paused", [True, False])
async def test_told_to_stop_during_a_pause_it_finishes_what_it_has(
    stage: Stage, start: Starter, tmp_path: Path, *, paused: bool
) -> None:
    """The rest is left for later, also when the pause ends during the drain."""
    process = start(stage.place)
    gate = tmp_path / "gate"
    in_flight = await stage.send(scripted("plain", gate=str(gate)))
    await stage.until_run(in_flight)
    await set_paused(stage, paused=True)
    await eventually(lambda: process.lines("processing.paused"))
    left = await stage.send(HANG)

    process.terminate()
    await eventually(lambda: process.lines("processor.stopping"))
    await set_paused(stage, paused=paused)
    await eventually(lambda: paused or process.lines("processing.resumed"))
    gate.touch()

    assert await process.ended() == 0
    await stage.until(in_flight, "completed", deadline_s=1)
    assert await stage.row(left) is None
    await stage.until_waiting(WORK_QUEUE, 1)
