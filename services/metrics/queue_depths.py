"""How deep each queue is, as the broker says."""

import asyncio
from typing import Self

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel as Channel

from ringback.contract.ladder import Ladder
from ringback.contract.topology import topology
from ringback.runtime.broken_off import broken_off_as_error
from ringback.runtime.lifecycle import CannotStartError
from ringback.runtime.linked import Linked
from ringback.runtime.rabbit import BROKER_AWAY
from ringback.runtime.topology import missing
from services.metrics.queue_depth import QueueDepth


class QueueDepths(Linked):
    """Asks the broker while it is entered, by passive declares: they need no right but to read.

    Entering raises CannotStartError when the broker answers but lacks a queue or an exchange.
    A broker that is away, then or later, is waited for in the background.
    """

    def __init__(self, amqp_url: str, ladder: Ladder) -> None:
        super().__init__(amqp_url, "ringback-metrics")
        self._ladder = ladder
        self._names = tuple(queue.name for queue in topology(ladder).queues)
        self._connection: AbstractConnection | None = None
        self._has_opened = False

    @property
    def is_up(self) -> bool:
        return self._link.up

    async def answers(self) -> bool:
        """Whether the broker opens a channel for us. Raises one of BROKER_AWAY if it does not."""
        if self._connection is None or not self._link.up:
            return False
        with broken_off_as_error():
            channel = await _channel(self._connection)
            await channel.close()
        return True

    async def read(self, timeout_s: float) -> dict[str, QueueDepth]:
        """The depth of each queue by its name. One that does not answer in time is left out.

        Empty while the broker is away. When no queue answers, the connection is made anew.
        """
        connection = self._connection
        if connection is None or not self._link.up:
            return {}
        depths = await asyncio.gather(
            *(_depth(connection, name, timeout_s) for name in self._names)
        )
        told = dict(zip(self._names, depths, strict=True))
        if all(depth is None for depth in told.values()):
            self._link.lost()
        return {name: depth for name, depth in told.items() if depth is not None}

    async def depth_of(self, queue: str, timeout_s: float) -> QueueDepth | None:
        """The depth of one queue; None when the broker does not say it in time."""
        connection = self._connection
        if connection is None or not self._link.up:
            return None
        return await _depth(connection, queue, timeout_s)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._link.tried()
        if isinstance(self._link.failure, CannotStartError):
            await self.__aexit__(None, None, None)
            raise self._link.failure
        return self

    async def _on_open(self, connection: AbstractConnection) -> None:
        # Later a queue may be missing because the ladder is being changed; that is no reason to
        # stop telling about the others.
        absent = [] if self._has_opened else await missing(connection, self._ladder)
        if absent:
            raise CannotStartError(
                f"The broker is not set up: {' '.join(absent)} Run `ringback topology apply`."
            )
        self._has_opened = True
        self._connection = connection


async def _depth(connection: AbstractConnection, name: str, timeout_s: float) -> QueueDepth | None:
    """On a channel of its own: asking in vain, or for a queue that is absent, closes it."""
    try:
        async with asyncio.timeout(timeout_s):
            with broken_off_as_error():
                channel = await _channel(connection)
                told = await channel.queue_declare(name, passive=True)
                await channel.close()
    except BROKER_AWAY:
        return None
    return QueueDepth(messages=told.message_count or 0, consumers=told.consumer_count or 0)


async def _channel(connection: AbstractConnection) -> Channel:
    """One of aiormq. Each of aio-pika's own would leave 5 kB behind when it is closed."""
    transport = connection.transport
    if transport is None:
        raise ConnectionError("The connection is closed.")
    return await transport.connection.channel(publisher_confirms=False)
