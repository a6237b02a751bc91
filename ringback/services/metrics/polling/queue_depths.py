"""The depth of each queue, as the broker reports it."""

import asyncio
from dataclasses import dataclass
from typing import Self

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel as Channel

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import topology
from ringback.runtime.amqp.connection import (
    BROKER_UNAVAILABLE_ERRORS,
    BrokerClient,
    connection_errors_from_cancellation,
)
from ringback.runtime.amqp.topology import require_topology
from ringback.runtime.process.lifecycle import CannotStartError


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The broker's counts for a queue: ready messages, and consumers."""

    messages: int
    consumers: int


class QueueDepths(BrokerClient):
    """Reads depths by passive declares, which need only read permission.

    Entering raises CannotStartError when the broker answers but a queue or an exchange is missing.
    If the broker is unavailable, then or later, it reconnects in the background.
    """

    def __init__(self, amqp_url: str, schedule: RetrySchedule) -> None:
        super().__init__(amqp_url, "ringback-metrics")
        self._schedule = schedule
        self._names = tuple(queue.name for queue in topology(schedule).queues)
        self._connection: AbstractConnection | None = None
        self._has_opened = False

    @property
    def is_connected(self) -> bool:
        return self._broker_connection.is_connected

    async def answers(self) -> bool:
        """Whether the broker opens a channel for us.

        Raises one of BROKER_UNAVAILABLE_ERRORS if not.
        """
        if self._connection is None or not self._broker_connection.is_connected:
            return False
        return await opens_channel(self._connection)

    async def read(self, timeout_s: float) -> dict[str, QueueDepth]:
        """The depth of each queue by name; a queue without an answer in time is left out.

        Empty while the broker is unavailable. If no queue gets an answer, it reconnects.
        """
        connection = self._connection
        if connection is None or not self._broker_connection.is_connected:
            return {}
        depths = await asyncio.gather(
            *(depth_of(connection, name, timeout_s) for name in self._names)
        )
        by_name = dict(zip(self._names, depths, strict=True))
        if all(depth is None for depth in by_name.values()):
            self._broker_connection.reconnect()
        return {name: depth for name, depth in by_name.items() if depth is not None}

    async def depth_of(self, queue: str, timeout_s: float) -> QueueDepth | None:
        """The depth of one queue; None when the broker does not answer in time."""
        connection = self._connection
        if connection is None or not self._broker_connection.is_connected:
            return None
        return await depth_of(connection, queue, timeout_s)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._broker_connection.wait_for_first_attempt()
        if isinstance(self._broker_connection.failure, CannotStartError):
            await self.__aexit__(None, None, None)
            raise self._broker_connection.failure
        return self

    async def _on_open(self, connection: AbstractConnection) -> None:
        # Later a queue may be missing while the retry schedule is being changed; the others are
        # still reported.
        if not self._has_opened:
            await require_topology(connection, topology(self._schedule))
        self._has_opened = True
        self._connection = connection


async def opens_channel(connection: AbstractConnection) -> bool:
    """Return True, or raise one of BROKER_UNAVAILABLE_ERRORS if no channel can be opened."""
    with connection_errors_from_cancellation():
        channel = await _channel(connection)
        await channel.close()
    return True


async def depth_of(
    connection: AbstractConnection, name: str, timeout_s: float
) -> QueueDepth | None:
    """Uses its own channel: a timeout or a missing queue closes it."""
    try:
        async with asyncio.timeout(timeout_s):
            with connection_errors_from_cancellation():
                channel = await _channel(connection)
                queue = await channel.queue_declare(name, passive=True)
                await channel.close()
    except BROKER_UNAVAILABLE_ERRORS:
        return None
    return QueueDepth(messages=queue.message_count or 0, consumers=queue.consumer_count or 0)


async def _channel(connection: AbstractConnection) -> Channel:
    """Open a channel of aiormq, because a closed channel of aio-pika leaks 5 kB."""
    transport = connection.transport
    # aiormq would raise RuntimeError, which is no sign of an unavailable broker.
    if transport is None or transport.connection.is_closed:
        raise ConnectionError("The connection is closed.")
    return await transport.connection.channel(publisher_confirms=False)
