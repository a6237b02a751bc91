"""A copy of a message is published until it is confirmed, whatever happens to the connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractIncomingMessage

from chaos.fault_proxy import FaultProxy
from ringback.contract.retry_schedule import Attempt
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from ringback.runtime.amqp import connection as rabbit
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from services.processor.attempt.policy import dead_letter_forward
from services.processor.consume import settle as module
from services.processor.consume.settle import CopyPublisher, publishing_connection
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually

DEAD = dead_letter_forward(Attempt(1))


@pytest.fixture
async def publisher(
    stage: Stage, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CopyPublisher]:
    monkeypatch.setattr(module, "_PUBLISH_TIMEOUT_S", 0.5)
    monkeypatch.setattr(rabbit, "_CLOSE_TIMEOUT_S", 0.05)
    async with publishing_connection(proxy.through(stage.place.amqp_url)) as connection:
        publisher = CopyPublisher(connection)
        await eventually(publisher.answers)
        yield publisher
        proxy.release()


@pytest.fixture
async def incoming(stage: Stage) -> AbstractIncomingMessage:
    await stage.send(scripted("plain"))
    queue = await stage.channel.get_queue(WORK_QUEUE)
    return await eventually(lambda: queue.get(no_ack=True, fail=False))


async def test_a_confirmed_copy_is_in_its_queue(
    stage: Stage, publisher: CopyPublisher, incoming: AbstractIncomingMessage
) -> None:
    """The copy has all that the message carried, except the broker's headers."""
    await publisher.publish(incoming, DEAD)

    queue = await stage.channel.get_queue(DEAD_LETTER_QUEUE)
    copy = await queue.get(no_ack=True)
    assert (copy.body, copy.message_id, copy.type) == (
        incoming.body,
        incoming.message_id,
        incoming.type,
    )
    assert copy.headers == {**incoming.headers, "attempt": 1}


async def test_a_broker_that_does_not_confirm_in_time_is_away_for_all_who_wait(
    publisher: CopyPublisher, proxy: FaultProxy, incoming: AbstractIncomingMessage
) -> None:
    """One times out and the connection is opened again; the others get an error and can retry."""
    proxy.withhold()
    first = asyncio.create_task(publisher.publish(incoming, DEAD))
    await asyncio.sleep(0.3)
    second = asyncio.create_task(publisher.publish(incoming, DEAD))

    await asyncio.wait({first, second})

    assert isinstance(first.exception(), TimeoutError)
    assert not second.cancelled()
    assert isinstance(second.exception(), BROKER_UNAVAILABLE_ERRORS)


async def test_after_a_lost_connection_it_publishes_on_the_next(
    stage: Stage,
    publisher: CopyPublisher,
    proxy: FaultProxy,
    incoming: AbstractIncomingMessage,
) -> None:
    """It reconnects without help."""
    proxy.cut()

    async def published() -> bool:
        try:
            await publisher.publish(incoming, DEAD)
        except BROKER_UNAVAILABLE_ERRORS:
            return False
        return True

    await eventually(published)
    assert await stage.depth(DEAD_LETTER_QUEUE) >= 1
