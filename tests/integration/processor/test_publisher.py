"""Copies are published on a connection of their own, until the broker confirms them."""

import asyncio

import aio_pika

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import DEAD, DEAD_LETTER_QUEUE
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.publisher import ConfirmedPublisher
from tests.integration.processor.stage import Stage
from tests.support.eventually import eventually


async def test_a_broker_that_does_not_confirm_is_replaced_and_all_who_wait_get_an_error(
    stage: Stage, proxy: FaultProxy
) -> None:
    """The first publish times out and the connection is opened again; both can be repeated."""
    url = proxy.through(stage.place.amqp_url)
    async with ConfirmedPublisher(url, "test", timeout_s=0.5) as publisher:
        await eventually(lambda: publisher.answers(DEAD))

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
