"""The messages that wait in the retry queues."""

import asyncio
import time

import aio_pika

from chaos.stage import SCHEDULE, Stage

_WITHIN_S = 15.0
_POLL_S = 0.1
_TRIED = 2
"""How many retry queues the webhooks of a load use."""


async def something_on_each(stage: Stage) -> None:
    """Wait until each retry queue that the load uses has a message, or complain."""
    async with await aio_pika.connect(stage.broker.amqp_url()) as connection:
        channel = await connection.channel()
        deadline = time.monotonic() + _WITHIN_S
        for retry_queue in reversed(SCHEDULE.retry_queues[:_TRIED]):
            while not await _depth(channel, retry_queue.queue_name):
                if time.monotonic() > deadline:
                    stage.complaints.append(f"Nothing waited in {retry_queue.queue_name}.")
                    return
                await asyncio.sleep(_POLL_S)


async def _depth(channel: aio_pika.abc.AbstractChannel, queue: str) -> int:
    found = await channel.declare_queue(queue, passive=True)
    return found.declaration_result.message_count or 0
