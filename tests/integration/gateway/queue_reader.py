"""Reads queues with a separate client."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from tests.support.eventually import eventually


@asynccontextmanager
async def channel_to(amqp_url: str) -> AsyncGenerator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def take_one(channel: AbstractChannel, queue_name: str) -> AbstractIncomingMessage:
    """Wait for the oldest message of a queue, and remove it."""
    queue = await channel.get_queue(queue_name)
    return await eventually(lambda: _get(queue))


async def count_in(channel: AbstractChannel, queue_name: str) -> int:
    declared = await channel.declare_queue(queue_name, passive=True)
    return declared.declaration_result.message_count or 0


async def _get(queue: AbstractQueue) -> AbstractIncomingMessage | None:
    return await queue.get(no_ack=True, fail=False, timeout=60)
