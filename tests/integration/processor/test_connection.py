"""The connection to the broker is lost, at many moments."""

import asyncio

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, opened, scripted
from tests.support.eventually import eventually


async def test_the_prefetch_is_the_limit_across_a_reconnection(
    stage: Stage, start: Starter, proxy: FaultProxy
) -> None:
    """Work that was in flight when the connection was lost counts, and does not run twice."""
    process = start(Place(proxy.through(stage.place.amqp_url), stage.place.database_url))
    await process.ready()
    jobs = [await stage.send(scripted("plain", sleep_s=0.4)) for _ in range(30)]
    await stage.until_run(jobs[4])

    proxy.cut()
    await eventually(lambda: len(process.lines("broker.connected")) >= 4)
    await stage.until_run(jobs[9])
    proxy.cut()

    runs = []
    for job_id in jobs:
        await stage.until(job_id, "completed")
        runs += await stage.runs(job_id)
    assert len(runs) == 30
    assert max(run["in_flight"] for run in runs) == 5


async def test_a_lost_connection_costs_no_attempt_and_no_second_run(
    stage: Stage, start: Starter, proxy: FaultProxy
) -> None:
    """A handler continues during the reconnection; its redelivered webhook then waits for it."""
    process = start(Place(proxy.through(stage.place.amqp_url), stage.place.database_url))
    await process.ready()
    job_id = await stage.send(scripted("plain", sleep_s=2))
    await stage.until_run(job_id)

    proxy.cut()

    row = await stage.until(job_id, "completed")
    await stage.until_empty(WORK_QUEUE)
    assert row["attempts"] == 1
    assert len(await stage.runs(job_id)) == 1
    await eventually(lambda: len(process.lines("attempt.finished")) == 2)
    assert process.lines("attempt.finished")[1]["repeated"]


async def test_connections_lost_while_dead_letters_are_published_lose_none(
    stage: Stage, start: Starter, proxy: FaultProxy
) -> None:
    """An interrupted publish is repeated, and its message is settled in the end."""
    process = start(Place(proxy.through(stage.place.amqp_url), stage.place.database_url))
    await stage.until(await stage.send(scripted("plain")), "completed")
    proxy.withhold()
    # One fewer than the prefetch: the answer to the first may be withheld too.
    jobs = [await stage.send(scripted("plain", permanent="no use")) for _ in range(4)]
    await eventually(lambda: len(process.lines("attempt.finished")) > len(jobs))

    proxy.cut()
    await eventually(lambda: process.lines("broker.lost"))
    proxy.release()

    for job_id in jobs:
        row = await stage.until(job_id, "dead_letter")
        assert row["attempts"] == 1
        assert len(await stage.runs(job_id)) == 1
    await stage.until_empty(WORK_QUEUE, DEAD_LETTER_QUEUE)


async def test_a_broker_that_restarts_costs_no_webhook(
    own_broker: PrivateBroker, database_url: str, start: Starter
) -> None:
    """Work in flight and in every retry queue finishes once when the broker is back."""
    place = Place(own_broker.amqp_url(), database_url, retry_schedule="1s,2s")
    await place.prepare()
    # A queue that is younger than about a second can lose its leader for good when killed.
    await asyncio.sleep(1.5)
    start(place)
    async with opened(place) as stage:
        failing = [await stage.send(scripted("plain", fail_times=2)) for _ in range(10)]
        for job_id in failing:
            await stage.until(job_id, "failed")
        slow = [await stage.send(scripted("plain", sleep_s=2)) for _ in range(5)]
        await stage.until_run(slow[-1])

    await own_broker.kill()
    await own_broker.start()

    async with opened(place) as stage:
        for job_id in failing + slow:
            await stage.until(job_id, "completed", deadline_s=30)
            attempts = await stage.attempts(job_id)
            assert len(attempts) == len(await stage.runs(job_id)) == (3 if job_id in failing else 1)
        await stage.until_empty(WORK_QUEUE, DEAD_LETTER_QUEUE)
