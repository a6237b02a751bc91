"""Tests for ringback.runtime.amqp.topology, and for the retry schedule on a real broker."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aio_pika
import aiohttp
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from ringback.contract.envelope import without_broker_headers
from ringback.contract.retry_schedule import BULK_KEY, RetrySchedule
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_BINDINGS,
    DUE_QUEUE,
    FAILED,
    QUARANTINE_DELIVERY_LIMIT,
    QUARANTINE_QUEUE,
    REQUEUED_KEY,
    WEBHOOKS,
    WORK_QUEUE,
)
from ringback.contract.topology import topology as whole_topology
from ringback.local.broker import PrivateBroker
from ringback.local.ports import free_ports
from ringback.runtime.amqp.topology import TopologyError, apply, check, require_topology
from ringback.runtime.process.lifecycle import CannotStartError
from tests.support.eventually import eventually

SHORT = RetrySchedule.parse("300ms,600ms")


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    yield await connection.channel()
    await connection.close()


@dataclass(slots=True)
class Arrival:
    routing_key: str | None
    headers: dict[str, object]
    at: float


@dataclass(slots=True)
class Failing:
    """A worker that rejects each message and records when it arrived."""

    arrivals: list[Arrival] = field(default_factory=list)

    async def __call__(self, message: AbstractIncomingMessage) -> None:
        self.arrivals.append(Arrival(message.routing_key, dict(message.headers), time.monotonic()))
        await message.reject(requeue=False)


async def in_queue(channel: AbstractChannel, name: str) -> int:
    queue = await channel.declare_queue(name, passive=True)
    return queue.declaration_result.message_count or 0


def webhook(number: int = 1) -> aio_pika.Message:
    return aio_pika.Message(
        b'{"n":%d}' % number,
        message_id=f"id-{number}",
        type="hang",
        delivery_mode=2,
        headers={"org_id": "1", "dedup_key": f"k-{number}"},
    )


async def publish(
    channel: AbstractChannel, message: aio_pika.Message, key: str = "attempt.1"
) -> None:
    exchange = await channel.get_exchange(WEBHOOKS, ensure=False)
    await exchange.publish(message, key)


async def test_apply_declares_everything(amqp_url: str) -> None:
    """All names are missing before, none afterwards; applying again changes nothing."""
    before = await check(amqp_url, SHORT)

    await apply(amqp_url, SHORT)
    await apply(amqp_url, SHORT)

    assert len(before) == 3 + 8
    assert f"The queue {WORK_QUEUE} does not exist." in before
    assert f"The exchange {FAILED} does not exist." in before
    assert await check(amqp_url, SHORT) == []


async def test_another_schedule_is_a_missing_retry_queue(amqp_url: str) -> None:
    """A service with another retry schedule than the broker's does not start."""
    await apply(amqp_url, SHORT)
    connection = await aio_pika.connect(amqp_url)

    with pytest.raises(CannotStartError, match=r"queue webhooks\.retry\.2\.5s does not exist"):
        await require_topology(connection, whole_topology(RetrySchedule.parse("300ms,5s")))

    assert not connection.is_closed
    await connection.close()


async def test_other_arguments_are_named(amqp_url: str, channel: AbstractChannel) -> None:
    """An object that was declared with other arguments is neither used nor changed."""
    for name in (DEAD_LETTER_QUEUE, "webhooks.retry.1.300ms", WORK_QUEUE):
        await apply(amqp_url, SHORT)
        await channel.queue_delete(name)
        await channel.declare_queue(name, durable=True)

        [sentence] = await check(amqp_url, SHORT)

        assert name in sentence
        with pytest.raises(TopologyError, match=name):
            await apply(amqp_url, SHORT)
        await channel.queue_delete(name)


@pytest.mark.slow
async def test_an_unavailable_broker_is_a_sentence() -> None:
    """After some attempts, because a broker refuses for a moment after its start."""
    url = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"

    with pytest.raises(TopologyError, match="cannot be reached, or refuses"):
        await apply(url, SHORT)
    with pytest.raises(TopologyError, match="cannot be reached"):
        await check(url, SHORT)


async def test_a_failing_webhook_follows_the_retry_schedule(
    amqp_url: str, channel: AbstractChannel
) -> None:
    """A rejected message waits in its retry queue, is the next attempt, then goes to the dead
    letters: body, properties and our headers are those that were published.
    """
    await apply(amqp_url, SHORT)
    failing = Failing()
    for name in (WORK_QUEUE, BULK_QUEUE, DUE_QUEUE):
        await (await channel.get_queue(name)).consume(failing)

    for number, key in enumerate(("attempt.1", BULK_KEY)):
        failing.arrivals.clear()
        await publish(channel, webhook(number), key)

        await eventually(lambda: in_queue(channel, DEAD_LETTER_QUEUE))
        dead = await (await channel.get_queue(DEAD_LETTER_QUEUE)).get(timeout=60)
        first, second, third = failing.arrivals
        assert [a.routing_key for a in failing.arrivals] == [key, "attempt.2", "attempt.3"]
        assert second.at - first.at >= 0.3
        assert third.at - second.at >= 0.6
        assert (dead.body, dead.message_id) == (b'{"n":%d}' % number, f"id-{number}")
        assert (dead.type, dead.routing_key) == ("hang", "attempt.3")
        assert dead.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
        for headers in (third.headers, dict(dead.headers)):
            assert without_broker_headers(headers) == {"org_id": "1", "dedup_key": f"k-{number}"}
        await dead.ack()


async def test_a_retry_on_an_upgraded_broker_reaches_one_queue(
    amqp_url: str, channel: AbstractChannel
) -> None:
    """An earlier version bound the work queue to all attempts. Applying twice changes nothing."""
    await apply(amqp_url, SHORT)
    work = await channel.get_queue(WORK_QUEUE)
    await work.bind(WEBHOOKS, "attempt.*")
    for binding in DUE_BINDINGS:
        await (await channel.get_queue(DUE_QUEUE)).unbind(WEBHOOKS, binding.routing_key)

    await apply(amqp_url, SHORT)
    await apply(amqp_url, SHORT)

    exchange = await channel.get_exchange(WEBHOOKS, ensure=False)
    for key in ("attempt.1", "attempt.2", "attempt.21", REQUEUED_KEY):
        await exchange.publish(webhook(), key)

    async def arrived() -> bool:
        names = (WORK_QUEUE, DUE_QUEUE, DEAD_LETTER_QUEUE)
        return [await in_queue(channel, name) for name in names] == [1, 3, 0]

    await eventually(arrived)


@pytest.mark.parametrize("key", ["attempt.99", "nonsense"])
async def test_unroutable_messages_become_dead_letters(
    amqp_url: str, channel: AbstractChannel, key: str
) -> None:
    """After a lost binding or with an unknown key, the broker drops no message."""
    await apply(amqp_url, SHORT)
    failed = await channel.get_exchange(FAILED, ensure=False)

    await failed.publish(webhook(), key)

    await eventually(lambda: in_queue(channel, DEAD_LETTER_QUEUE))


async def test_a_quarantined_message_becomes_a_dead_letter_after_some_crashes(
    amqp_url: str, channel: AbstractChannel, broker: PrivateBroker
) -> None:
    """A message whose consumer dies each time is not delivered forever.

    The broker counts it; an alert asks for this counter, which begins at 0.
    """
    await apply(amqp_url, SHORT)
    before = await stopped_by_the_limit(broker)
    await channel.default_exchange.publish(webhook(), QUARANTINE_QUEUE)

    crashes = 0
    while await crash(amqp_url):
        crashes += 1

    assert crashes == QUARANTINE_DELIVERY_LIMIT + 1
    assert await in_queue(channel, DEAD_LETTER_QUEUE) == 1

    async def one_more() -> bool:
        return await stopped_by_the_limit(broker) > before

    await eventually(one_more, deadline_s=20)


async def crash(amqp_url: str) -> bool:
    """Consume the quarantined message and die; False if it is already a dead letter."""
    connection = await aio_pika.connect(amqp_url)
    channel = await connection.channel()
    taken = asyncio.Event()

    async def take(_message: AbstractIncomingMessage) -> None:
        taken.set()
        await asyncio.sleep(0)

    async def taken_or_dead() -> bool:
        return taken.is_set() or await in_queue(channel, DEAD_LETTER_QUEUE) == 1

    await (await channel.get_queue(QUARANTINE_QUEUE, ensure=False)).consume(take)
    await eventually(taken_or_dead)
    await connection.close()
    return taken.is_set()


COUNTER = "rabbitmq_global_messages_dead_lettered_delivery_limit_total"


async def stopped_by_the_limit(broker: PrivateBroker) -> float:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{broker.ports.broker_metrics}/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    samples = [line for line in lines if line.startswith(f"{COUNTER}{{")]
    assert samples
    return sum(float(line.rpartition(" ")[2]) for line in samples)
