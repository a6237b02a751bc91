"""What the broker tells Prometheus of messages that its delivery limit stopped."""

import aio_pika
import aiohttp
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import DEAD_LETTER_QUEUE, QUARANTINE_QUEUE
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp import topology
from tests.support.eventually import eventually

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


async def test_the_broker_counts_what_its_limit_stopped(
    broker: PrivateBroker, amqp_url: str
) -> None:
    """An alert asks for this counter: it begins at 0, and one message makes it one more."""
    await topology.apply(amqp_url, RetrySchedule.parse("1s"))
    before = await stopped_by_the_limit(broker)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(
            aio_pika.Message(b"{}"), routing_key=QUARANTINE_QUEUE
        )
        quarantined = await channel.get_queue(QUARANTINE_QUEUE)
        await quarantined.consume(give_back)
        dead = await channel.get_queue(DEAD_LETTER_QUEUE)
        letter = await eventually(lambda: dead.get(fail=False))
        await letter.ack()

        async def one_more() -> bool:
            return await stopped_by_the_limit(broker) == before + 1

        await eventually(one_more, deadline_s=20)

    assert letter.body == b"{}"


async def give_back(message: AbstractIncomingMessage) -> None:
    """As the broker does for a processor that died."""
    await message.reject(requeue=True)
