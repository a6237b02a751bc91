"""Reads queue lengths from the broker, and the health of services."""

import asyncio
from dataclasses import dataclass

import aio_pika
import aiohttp
import orjson
from aio_pika.abc import AbstractConnection

from ringback.cli.terminal import CommandError
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.local.console import printable
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.process.settings import server_address

_BROKER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class QueueCount:
    """The number of waiting messages and of consumers; both are None if the queue is missing."""

    name: str
    ready: int | None
    consumers: int | None


async def queue_counts(amqp_url: str, schedule: RetrySchedule) -> list[QueueCount]:
    """Count the messages of each queue. Needs only the read permission.

    Raises CommandError if the broker is unavailable.
    """
    retry_queues = (retry_queue.queue_name for retry_queue in schedule.retry_queues)
    attempted = (WORK_QUEUE, BULK_QUEUE, *retry_queues, REQUEUED_QUEUE, DUE_QUEUE, QUARANTINE_QUEUE)
    names = (*attempted, DEAD_LETTER_QUEUE)
    try:
        async with asyncio.timeout(_BROKER_TIMEOUT_S):
            connection = await aio_pika.connect(amqp_url)
            async with connection:
                return [await _count(connection, name) for name in names]
    except BROKER_UNAVAILABLE_ERRORS as exc:
        raise CommandError(f"The broker at {server_address(amqp_url)} cannot be reached.") from exc


async def _count(connection: AbstractConnection, name: str) -> QueueCount:
    """Count on a new channel, because a missing queue closes the channel."""
    channel = await connection.channel()
    try:
        queue = await channel.declare_queue(name, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return QueueCount(name, None, None)
    await channel.close()
    answer = queue.declaration_result
    return QueueCount(name, answer.message_count, answer.consumer_count)


_SERVICE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """The result of /readyz at `url`; `missing` names the failed checks.

    `addresses` are those for callers.
    """

    name: str
    url: str
    answers: bool
    ready: bool
    missing: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


async def service_health(name: str, url: str) -> ServiceHealth:
    """Query a service at its observability port, such as http://127.0.0.1:9101."""
    timeout = aiohttp.ClientTimeout(total=_SERVICE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"{url}/readyz") as answer,
        ):
            checks = orjson.loads(await answer.read())["checks"]
            missing = tuple(printable(check) for check, passed in checks.items() if not passed)
            return ServiceHealth(name, url, answers=True, ready=answer.ok, missing=missing)
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError):
        return ServiceHealth(name, url, answers=False, ready=False)
