"""The connection to the broker is lost, at many moments, or no longer answers."""

import asyncio
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import (
    DEAD,
    DEAD_LETTER_QUEUE,
    FAILED,
    REQUEUED_KEY,
    WORK_QUEUE,
    republishing_topology,
)
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.publisher import Publisher
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.consume.consumer import RPC_TIMEOUT_S
from ringback.services.processor.consume.consumer_group import (
    CHECK_EVERY_S,
    ConsumerGroup,
    QueueHandlers,
)
from ringback.services.processor.consume.message_handler import Consumers
from ringback.services.processor.database_watch import DatabaseWatch
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_the_prefetch_is_the_limit_across_a_reconnection(
    stage: Stage, start: Starter, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Work that was in flight when the connection was lost counts, and does not run twice."""
    process = start(Place(proxy.through(stage.place.amqp_url), stage.place.database_url))
    await process.ready()
    gate = tmp_path / "gate"
    event = scripted("plain", gate=str(gate), sleep_s=0.4)
    jobs = [await stage.send(event) for _ in range(30)]
    await stage.until_run(jobs[4])

    proxy.cut()
    await eventually(lambda: len(process.lines("broker.connected")) >= 4)
    gate.touch()
    await stage.until_run(jobs[9])
    proxy.cut()

    runs = []
    for job_id in jobs:
        await stage.until(job_id, "completed")
        runs += await stage.runs(job_id)
    assert len(runs) == 30
    assert max(run["in_flight"] for run in runs) == 5


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


async def test_a_copy_that_the_broker_refuses_does_not_stop_the_others(
    stage: Stage, start: Starter
) -> None:
    """It ends the channel of all, each time; the log says why."""
    process = start(stage.place)
    await process.ready()
    await (await stage.channel.get_exchange(FAILED, ensure=False)).delete()
    # A requeued one: the processor publishes its copy itself.
    await stage.send(scripted("plain", fail_times=9), key=REQUEUED_KEY)
    await eventually(lambda: len(process.lines("message.publish_retried")) > 1)

    jobs = [await stage.send(scripted("plain", permanent="no use")) for _ in range(3)]

    for job_id in jobs:
        await stage.until(job_id, "dead_letter")
    details = {str(line["detail"]) for line in process.lines("message.publish_retried")}
    assert any("NOT_FOUND" in one and FAILED in one for one in details), details


async def test_a_mute_connection_is_replaced(stage: Stage, proxy: FaultProxy) -> None:
    """If a broker does not report whether it knows our consumers, a new connection is opened."""
    received: set[str] = set()

    async def receive(message: AbstractIncomingMessage, _: Consumers) -> None:
        received.add(message.message_id or "")
        await message.ack()

    async def answer() -> None:
        """The database is available."""

    group = ConsumerGroup(
        proxy.through(stage.place.amqp_url),
        stage.place.schedule,
        DatabaseWatch(answer, wait_s=60),
        prefetch=5,
        slots=HandlerSlots(5),
        handlers=QueueHandlers(receive, receive, receive, receive, receive),
        check_every_s=0.2,
        rpc_timeout_s=0.5,
    )
    async with group:
        await group.resume()
        first = str(await stage.send(scripted("plain")))
        await eventually(lambda: first in received)

        proxy.strand()
        # The broker gives the dead connection some until it drops that itself.
        jobs = {str(await stage.send(scripted("plain"))) for _ in range(20)}

        await eventually(lambda: bool(received & jobs), deadline_s=20)


def test_a_lost_consumer_is_noticed_in_half_a_minute() -> None:
    """An unanswered question takes its own time on top of the interval."""
    assert CHECK_EVERY_S + RPC_TIMEOUT_S <= 25


async def test_a_broker_that_does_not_confirm_is_replaced_and_all_who_wait_get_an_error(
    stage: Stage, proxy: FaultProxy
) -> None:
    """The first publish times out and the connection is opened again; both can be repeated."""
    url = proxy.through(stage.place.amqp_url)
    async with Publisher(url, "test", needed=republishing_topology(), timeout_s=0.5) as publisher:
        await eventually(publisher.is_ready)

        async def publish(body: bytes = b"copy") -> None:
            await publisher.publish(aio_pika.Message(body), exchange=DEAD, routing_key="attempt.1")

        async def published() -> bool:
            try:
                await publish()
            except BROKER_UNAVAILABLE_ERRORS:
                return False
            return True

        proxy.withhold()
        first = asyncio.create_task(publish())
        await asyncio.sleep(0.3)
        second = asyncio.create_task(publish())
        await asyncio.wait({first, second})
        proxy.release()

        assert isinstance(first.exception(), TimeoutError)
        assert not second.cancelled()
        assert isinstance(second.exception(), BROKER_UNAVAILABLE_ERRORS)
        await eventually(published)
        proxy.cut()
        await eventually(published)
    assert await stage.depth(DEAD_LETTER_QUEUE) >= 2
