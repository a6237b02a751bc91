"""Without a confirm from the broker there is no 200: a 503 at once, and automatic recovery."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aio_pika.abc import AbstractChannel

from chaos.fault_proxy import FaultProxy
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import DEAD_LETTER_QUEUE, WEBHOOKS, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp import topology
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, settings_for

HANG = b'{"type": "hang"}'


async def _accepts(gateway: RunningGateway) -> bool:
    return (await gateway.send(HANG)).status == 200


async def test_starts_without_a_broker(database_url: str) -> None:
    """Webhooks get 503 with Retry-After, and the gateway is not ready."""
    async with running(settings_for(f"amqp://{NOBODY}/", database_url)) as gateway:
        answer = await gateway.send(HANG)
        ready = await gateway.ready()

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert not ready


async def test_a_broker_that_lacks_a_part_loses_no_webhook(
    gateway: RunningGateway, channel: AbstractChannel, ready_amqp_url: str
) -> None:
    """A binding: they are dead letters. The queue: not ready. The exchange: 503, until it is back.

    Each readiness check looks for exchange and queue.
    """
    queue = await channel.get_queue(WORK_QUEUE)
    await queue.unbind(WEBHOOKS, "attempt.1")
    unbound = await gateway.send(HANG), await gateway.ready()
    await channel.queue_delete(WORK_QUEUE)
    is_ready = await gateway.ready()
    await channel.exchange_delete(WEBHOOKS)
    rejected = await gateway.send(HANG)

    assert (unbound[0].status, unbound[1]) == (200, True)
    assert await count_in(channel, DEAD_LETTER_QUEUE) == 1
    assert not is_ready
    assert rejected.status == 503
    await topology.apply(ready_amqp_url, RetrySchedule.parse("2s,4s,8s"))
    await eventually(lambda: _accepts(gateway))


async def test_a_silent_connection_is_replaced(
    ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """After one timeout the gateway connects again."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy.to(ready_amqp_url))
        settings = settings_for(
            proxy.through(ready_amqp_url), database_url, publish_timeout_s="0.3"
        )
        gateway = await stack.enter_async_context(running(settings))
        await eventually(lambda: _accepts(gateway))

        proxy.silence()
        first, second = await asyncio.gather(gateway.send(HANG), gateway.send(HANG))
        third = await gateway.send(HANG)
        proxy.release()

        assert (first.status, second.status, third.status) == (503, 503, 503)
        await eventually(lambda: _accepts(gateway), deadline_s=20)
    assert await count_in(channel, WORK_QUEUE) >= 2


async def test_a_confirm_counts_after_the_sender_has_disconnected(
    ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """Disconnecting does not cancel the publish, or confuse later confirms."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy.to(ready_amqp_url))
        gateway = await stack.enter_async_context(
            running(settings_for(proxy.through(ready_amqp_url), database_url))
        )
        assert await _accepts(gateway)

        proxy.silence()
        sending = asyncio.create_task(gateway.send(HANG))
        # After two responses, the request that was sent before them is in flight.
        for _ in range(2):
            assert await _has_accepted(gateway, 1)
        sending.cancel()
        await asyncio.wait({sending})
        proxy.release()

        assert await _accepts(gateway)
        await eventually(lambda: _has_accepted(gateway, 3))
    assert await count_in(channel, WORK_QUEUE) == 3


async def _has_accepted(gateway: RunningGateway, count: int) -> bool:
    return await gateway.metric("webhook_total", event_type="hang") == count


@pytest.mark.slow
async def test_a_blocked_broker_is_a_503(
    own_broker: PrivateBroker, own_amqp_url: str, database_url: str
) -> None:
    """At once, while the broker is short of memory; after that, 200 again."""
    await topology.apply(own_amqp_url, RetrySchedule.parse("2s"))

    async def set_watermark(share: str) -> None:
        await own_broker.control("set_vm_memory_high_watermark", share)

    async with running(
        settings_for(own_amqp_url, database_url, publish_timeout_s="0.5")
    ) as gateway:
        await eventually(lambda: _accepts(gateway))

        await set_watermark("0.00001")
        # The broker notifies only connections that publish.
        await eventually(lambda: _is_rejected_for(gateway, "blocked"))
        again = await gateway.send(HANG)
        ready = await gateway.ready()
        await set_watermark("0.9")

        assert again.status == 503
        assert not ready
        await eventually(lambda: _accepts(gateway), deadline_s=20)


async def _is_rejected_for(gateway: RunningGateway, reason: str) -> bool:
    await gateway.send(HANG)
    return await gateway.metric("webhook_rejected_total", endpoint="", reason=reason) > 0
