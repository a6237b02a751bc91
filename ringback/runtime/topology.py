"""Declares the topology, and checks that it stands. Only `ringback topology apply` declares."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from ringback.contract.ladder import Ladder
from ringback.contract.topology import Topology, topology
from ringback.runtime.rabbit import BROKER_AWAY

_CONNECT_TIMEOUT_S = 10.0
_DECLARE_TIMEOUT_S = 20.0
_TRIES = 8
_WAIT_S = 0.5


class TopologyError(Exception):
    """The topology cannot be declared; the text says why, in a sentence."""


class BrokerAwayError(TopologyError):
    """The broker cannot be asked."""


async def apply(amqp_url: str, ladder: Ladder) -> None:
    """Declare every exchange, queue and binding. Declaring again changes nothing.

    Right after a broker's port opens a declare can fail although nothing is wrong, so it is tried
    for some seconds. Raises TopologyError when an object stands with other arguments, or when the
    broker stays away.
    """
    wanted = topology(ladder)
    for tries_left in reversed(range(_TRIES)):
        try:
            async with _connected(amqp_url) as connection:
                await _declare(connection, wanted)
        except aio_pika.exceptions.ChannelPreconditionFailed as exc:
            raise TopologyError(f"The broker holds an object with other arguments: {exc}") from exc
        except BROKER_AWAY as exc:
            if not tries_left:
                raise TopologyError(f"The broker refused: {type(exc).__name__}: {exc}") from exc
            await asyncio.sleep(_WAIT_S)
        else:
            return


async def check(amqp_url: str, ladder: Ladder) -> list[str]:
    """What differs from the topology of this ladder, one sentence each; empty when it stands.

    Compares arguments by declaring again what exists, so it needs the right to configure.
    Bindings cannot be read by AMQP; `apply` sets them again.
    """
    try:
        async with _connected(amqp_url) as connection:
            absent = await missing(connection, ladder)
            return absent or await _differing(connection, topology(ladder))
    except BROKER_AWAY as exc:
        raise BrokerAwayError(f"The broker cannot be reached ({type(exc).__name__}).") from exc


async def absent(amqp_url: str, wanted: Topology) -> list[str]:
    """What of these does not exist, one sentence each. Only reads; any user of the broker may.

    Raises BrokerAwayError when the broker does not answer.
    """
    try:
        async with _connected(amqp_url) as connection:
            return await _absent(connection, wanted)
    except BROKER_AWAY as exc:
        raise BrokerAwayError(f"The broker cannot be reached ({type(exc).__name__}).") from exc


async def missing(connection: AbstractConnection, ladder: Ladder) -> list[str]:
    """As `check`, on a connection that is open. Only reads; any user of the broker may."""
    return await _absent(connection, topology(ladder))


async def _absent(connection: AbstractConnection, wanted: Topology) -> list[str]:
    sentences = [
        await _sentence_if_absent(connection, "exchange", exchange.name, _passive_exchange)
        for exchange in wanted.exchanges
    ]
    sentences += [
        await _sentence_if_absent(connection, "queue", queue.name, _passive_queue)
        for queue in wanted.queues
    ]
    return [sentence for sentence in sentences if sentence]


async def _declare(connection: AbstractConnection, wanted: Topology) -> None:
    async with asyncio.timeout(_DECLARE_TIMEOUT_S):
        channel = await connection.channel()
        for exchange in wanted.exchanges:
            await channel.declare_exchange(
                exchange.name,
                exchange.kind,
                durable=True,
                arguments=dict(exchange.arguments),
            )
        for queue in wanted.queues:
            await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
        for binding in wanted.bindings:
            bound = await channel.get_queue(binding.queue, ensure=False)
            await bound.bind(binding.exchange, binding.routing_key)
        await channel.close()


async def _differing(connection: AbstractConnection, wanted: Topology) -> list[str]:
    try:
        await _declare(connection, wanted)
    except aio_pika.exceptions.ChannelPreconditionFailed as exc:
        return [f"An object stands with other arguments: {exc}"]
    return []


Passive = Callable[[AbstractChannel, str], Coroutine[Any, Any, object]]


async def _passive_exchange(channel: AbstractChannel, name: str) -> object:
    return await channel.declare_exchange(name, passive=True)


async def _passive_queue(channel: AbstractChannel, name: str) -> object:
    return await channel.declare_queue(name, passive=True)


async def _sentence_if_absent(
    connection: AbstractConnection, kind: str, name: str, declare: Passive
) -> str | None:
    """A passive declare of what is absent closes its channel, so each has a channel of its own."""
    async with asyncio.timeout(_DECLARE_TIMEOUT_S):
        channel = await connection.channel()
        try:
            await declare(channel, name)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return f"The {kind} {name} does not exist."
        await channel.close()
    return None


@asynccontextmanager
async def _connected(amqp_url: str) -> AsyncGenerator[AbstractConnection, None]:
    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
        connection = await aio_pika.connect(amqp_url)
    try:
        yield connection
    finally:
        await connection.close()
