"""Without the broker's confirm there is no 200: an honest 503 at once, and a cure by itself."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from aio_pika.abc import AbstractChannel

from chaos.fault_proxy import FaultProxy
from ringback.contract.ladder import Ladder
from ringback.contract.topology import DEAD_LETTER_QUEUE, WEBHOOKS, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.local.ports import free_ports
from ringback.runtime import topology
from ringback.runtime.lifecycle import CannotStartError
from tests.integration.gateway.queue_reader import count_in
from tests.integration.gateway.running_gateway import RunningGateway, running, settings_for
from tests.support.eventually import eventually

HANG = b'{"type": "hang"}'


async def _accepts(gateway: RunningGateway) -> bool:
    return (await gateway.send(HANG)).status == 200


async def test_starts_without_a_broker_and_says_so(database_url: str) -> None:
    """A broker that is away at the start stops nothing: 503 with Retry-After, and not ready."""
    nobody = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"

    async with running(settings_for(nobody, database_url)) as gateway:
        answer = await gateway.send(HANG)
        ready = await gateway.ready()

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.took_s < 0.5
    assert not ready


async def test_refuses_to_start_without_the_topology(amqp_url: str, database_url: str) -> None:
    """An exchange that is missing is a mistake of the installation, and named as one."""
    with pytest.raises(CannotStartError, match="ringback topology apply"):
        async with running(settings_for(amqp_url, database_url)):
            pass


async def test_is_not_ready_when_the_work_queue_goes_away(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """Readiness asks for exchange and queue each time."""
    assert await gateway.ready()

    await channel.queue_delete(WORK_QUEUE)

    assert not await gateway.ready()


async def test_refuses_when_the_exchange_goes_away(
    gateway: RunningGateway, channel: AbstractChannel, ready_amqp_url: str
) -> None:
    """A publish to nowhere is a 503; once the exchange is back webhooks are accepted again."""
    await channel.exchange_delete(WEBHOOKS)

    answer = await gateway.send(HANG)

    assert answer.status == 503
    await topology.apply(ready_amqp_url, Ladder.parse("2s,4s,8s"))
    await eventually(lambda: _accepts(gateway))


async def test_a_lost_binding_loses_no_webhook(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """Without the binding the alternate exchange takes webhooks to the dead letters."""
    queue = await channel.get_queue(WORK_QUEUE)
    await queue.unbind(WEBHOOKS, "attempt.*")

    answer = await gateway.send(HANG)

    assert answer.status == 200
    assert await count_in(channel, DEAD_LETTER_QUEUE) == 1


async def test_a_broker_that_says_no_is_a_503(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """A queue that refuses the message makes the broker answer nack, and us 503."""
    queue = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await queue.bind(WEBHOOKS, "attempt.*")

    answer = await gateway.send(HANG)

    assert answer.status == 503
    assert await gateway.metric("webhook_refused_total", reason="refused") == 1


async def test_a_silent_connection_costs_one_deadline(
    ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """A link that passes nothing on is given up after the deadline, and made anew."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy.to(ready_amqp_url))
        settings = settings_for(
            proxy.through(ready_amqp_url), database_url, publish_timeout_s="0.3"
        )
        gateway = await stack.enter_async_context(running(settings))
        assert await _accepts(gateway)

        proxy.silence()
        first, second = await asyncio.gather(gateway.send(HANG), gateway.send(HANG))
        third = await gateway.send(HANG)
        proxy.release()

        assert (first.status, second.status, third.status) == (503, 503, 503)
        assert first.took_s < 1
        assert third.took_s < 0.2
        await eventually(lambda: _accepts(gateway), deadline_s=20)
    assert await count_in(channel, WORK_QUEUE) >= 2


async def test_a_confirm_counts_also_when_the_sender_has_gone(
    ready_amqp_url: str, database_url: str, channel: AbstractChannel
) -> None:
    """A sender that hangs up during the publish does not cut it, nor confuses later confirms."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy.to(ready_amqp_url))
        gateway = await stack.enter_async_context(
            running(settings_for(proxy.through(ready_amqp_url), database_url))
        )
        assert await _accepts(gateway)

        proxy.silence()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await gateway.send(HANG)
        proxy.release()

        assert await _accepts(gateway)
        await eventually(lambda: _has_accepted(gateway, 3))
    assert await count_in(channel, WORK_QUEUE) == 3


async def _has_accepted(gateway: RunningGateway, count: int) -> bool:
    return await gateway.metric("webhook_total", event_type="hang") == count


async def test_survives_the_death_of_the_broker(
    own_broker: PrivateBroker, database_url: str
) -> None:
    """Killed and started again, the broker is found again, and holds all that was accepted."""
    url = own_broker.amqp_url()
    await topology.apply(url, Ladder.parse("2s"))
    # A quorum queue younger than some seconds may not survive a kill.
    await asyncio.sleep(5)
    accepted = 0
    async with running(settings_for(url, database_url)) as gateway:
        for _ in range(20):
            accepted += await _accepts(gateway)

        await own_broker.kill()
        while_away = await gateway.send(HANG)
        await own_broker.start()

        assert while_away.status == 503
        assert while_away.took_s < 2.5
        await eventually(lambda: _accepts(gateway), deadline_s=20)
        accepted += 1
        assert await gateway.metric("webhook_total", event_type="hang") == accepted


async def test_a_blocked_broker_is_known_as_blocked(
    own_broker: PrivateBroker, database_url: str
) -> None:
    """While the broker is short of memory the answer is 503 at once; after it, 200 again."""
    url = own_broker.amqp_url()
    await topology.apply(url, Ladder.parse("2s"))

    async def set_watermark(share: str) -> None:
        await own_broker.control("set_vm_memory_high_watermark", share)

    async with running(settings_for(url, database_url, publish_timeout_s="0.5")) as gateway:
        assert await _accepts(gateway)

        await set_watermark("0.00001")
        # The broker tells only those who publish.
        await eventually(lambda: _is_refused_for(gateway, "blocked"))
        again = await gateway.send(HANG)
        ready = await gateway.ready()
        await set_watermark("0.9")

        assert again.status == 503
        assert again.took_s < 0.2
        assert not ready
        await eventually(lambda: _accepts(gateway), deadline_s=20)


async def _is_refused_for(gateway: RunningGateway, reason: str) -> bool:
    await gateway.send(HANG)
    return await gateway.metric("webhook_refused_total", reason=reason) > 0
