"""A pause together with the other reasons that keep a processor from consuming."""

from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.envelope import Header
from ringback.contract.topology import QUARANTINE_QUEUE, WORK_QUEUE
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


async def accuse(stage: Stage) -> None:
    """QueueMove the only message of the work queue to the quarantine."""
    queue = await stage.channel.get_queue(WORK_QUEUE, ensure=False)
    taken = await queue.get()
    copy = aio_pika.Message(
        taken.body,
        headers=dict(taken.headers) | {Header.ATTEMPT.value: 1},
        message_id=taken.message_id,
        type=taken.type,
    )
    await stage.channel.default_exchange.publish(copy, QUARANTINE_QUEUE)
    await taken.ack()


async def test_a_quarantine_that_runs_alone_is_finished_and_the_next_one_waits(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """Its end does not resume what the pause stops; the end of the pause resumes both queues."""
    gate = tmp_path / "gate"
    alone = await stage.send(scripted("plain", gate=str(gate)))
    await stage.until_waiting(WORK_QUEUE, 1)
    await accuse(stage)
    process = start(stage.place)
    await stage.until_run(alone)

    await set_paused(stage, paused=True)
    await eventually(lambda: process.lines("processing.paused"))
    quarantine = await stage.send(HANG)
    await stage.until_waiting(WORK_QUEUE, 1)
    await accuse(stage)
    other = await stage.send(HANG)
    gate.touch()

    await stage.until(alone, "completed")
    await stage.until_waiting(WORK_QUEUE, 1)
    await stage.until_waiting(QUARANTINE_QUEUE, 1)
    await set_paused(stage, paused=False)
    await stage.until(quarantine, "completed")
    await stage.until(other, "completed")


async def test_the_end_of_a_pause_does_not_disturb_who_runs_alone(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """Nothing is consumed beside a quarantined message, even after a pause."""
    gate = tmp_path / "gate"
    alone = await stage.send(scripted("plain", gate=str(gate)))
    await stage.until_waiting(WORK_QUEUE, 1)
    await accuse(stage)
    process = start(stage.place)
    await stage.until_run(alone)

    await set_paused(stage, paused=True)
    await eventually(lambda: process.lines("processing.paused"))
    other = await stage.send(scripted("plain"))
    await set_paused(stage, paused=False)
    await eventually(lambda: process.lines("processing.resumed"))

    await stage.until_waiting(WORK_QUEUE, 1)
    gate.touch()
    await stage.until(other, "completed")
    [run] = await stage.runs(other)
    assert run["in_flight"] == 1


@pytest.mark.parametrize("paused", [True, False])
async def test_while_the_database_is_away_the_last_answer_holds(
    stage: Stage, start: Starter, way: FaultProxy, *, paused: bool
) -> None:
    """Changes made meanwhile are known when it is back; until then nothing is consumed."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0"
    )
    await stage.until(await stage.send(HANG), "completed")
    if not paused:
        await set_paused(stage, paused=True)
        await eventually(lambda: process.lines("processing.paused"))
    way.refuse()
    await eventually(lambda: process.lines("pause.unknown"))

    await set_paused(stage, paused=paused)
    job_id = await stage.send(HANG)
    if paused:
        await eventually(lambda: process.lines("database.unavailable"))
    await stage.until_waiting(WORK_QUEUE, 1)
    way.accept()

    if paused:
        await eventually(lambda: process.lines("processing.paused"))
        await stage.until_waiting(WORK_QUEUE, 1)
        await set_paused(stage, paused=False)
    await stage.until(job_id, "completed")
    assert len(process.lines("pause.unknown")) == 1
