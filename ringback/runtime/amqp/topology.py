"""Declares the topology and checks it. Only `ringback topology apply` declares."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import FAILED, Binding, Topology, foreign_retry_queues, topology
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.management_api import ManagementError, management_api
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.runtime.process.settings import server_address

_CONNECT_TIMEOUT_S = 10.0
_DECLARE_TIMEOUT_S = 20.0
_TRIES = 8
_WAIT_S = 0.5
_UNAVAILABLE_ERRORS: tuple[type[BaseException], ...] = (*BROKER_UNAVAILABLE_ERRORS, ManagementError)


class TopologyError(Exception):
    """The topology cannot be declared; the message explains why."""


class BrokerUnavailableError(TopologyError):
    """The broker cannot be reached."""

    def __init__(self, amqp_url: str, cause: BaseException) -> None:
        where = server_address(amqp_url)
        super().__init__(f"The broker at {where} cannot be reached ({type(cause).__name__}).")


class ForeignScheduleError(TopologyError):
    """Another schedule is bound. Binding this one too would copy every message that fails."""


async def apply(
    amqp_url: str, schedule: RetrySchedule, *, management_url: str | None = None
) -> None:
    """Declare every exchange, queue and binding. Declaring again changes nothing.

    Right after a broker's port opens, a declare can fail although nothing is wrong, so it is
    retried for some seconds. Raises TopologyError if an object exists with other arguments, or if
    the broker stays unavailable. Raises ForeignScheduleError, before anything is changed, if retry
    queues of another schedule are bound. Without the management API this cannot be detected.
    """
    wanted = topology(schedule)
    for tries_left in reversed(range(_TRIES)):
        try:
            async with connected(amqp_url) as connection:
                await _refuse_other_schedule(amqp_url, schedule, management_url)
                await declare(connection, wanted)
        except aio_pika.exceptions.ChannelPreconditionFailed as exc:
            raise TopologyError(f"An object on the broker has other arguments: {exc}") from exc
        except _UNAVAILABLE_ERRORS as exc:
            if not tries_left:
                where = server_address(amqp_url)
                raise TopologyError(
                    f"The broker at {where} cannot be reached, or refuses: "
                    f"{type(exc).__name__}: {exc}"
                ) from exc
            await asyncio.sleep(_WAIT_S)
        else:
            return


async def bound_retry_queues(amqp_url: str, management_url: str) -> frozenset[Binding]:
    """What is bound to `webhooks.failed` now. Raises ManagementError."""
    async with management_api(management_url, amqp_url) as api:
        return await api.bindings_from(FAILED)


async def _refuse_other_schedule(
    amqp_url: str, schedule: RetrySchedule, management_url: str | None
) -> None:
    if management_url is None:
        return
    others = foreign_retry_queues(await bound_retry_queues(amqp_url, management_url), schedule)
    if others:
        raise ForeignScheduleError(
            f"{' '.join(others)} Two queues for one attempt would copy every message, so nothing "
            f"was changed. `ringback topology change --to {schedule}` changes the retry schedule."
        )


async def check(
    amqp_url: str, schedule: RetrySchedule, *, management_url: str | None = None
) -> list[str]:
    """List the differences from the topology of this schedule, one sentence each.

    It compares arguments by declaring existing objects again, so it needs the configure permission.
    AMQP cannot list bindings: the management API shows retry queues of another schedule.
    """
    try:
        async with connected(amqp_url) as connection:
            bound = await bound_retry_queues(amqp_url, management_url) if management_url else ()
            others = foreign_retry_queues(bound, schedule)
            absent = await _absent(connection, topology(schedule))
            # Declaring includes binding, which beside another schedule would copy messages.
            return others + (absent or ([] if others else await _differing(connection, schedule)))
    except ManagementError as exc:
        raise TopologyError(str(exc)) from exc
    except BROKER_UNAVAILABLE_ERRORS as exc:
        raise BrokerUnavailableError(amqp_url, exc) from exc


async def absent(amqp_url: str, wanted: Topology) -> list[str]:
    """Which of these do not exist, one sentence each.

    Only reads; any user of the broker may call it.

    Raises BrokerUnavailableError if the broker does not answer.
    """
    try:
        async with connected(amqp_url) as connection:
            return await _absent(connection, wanted)
    except BROKER_UNAVAILABLE_ERRORS as exc:
        raise BrokerUnavailableError(amqp_url, exc) from exc


async def require_topology(connection: AbstractConnection, wanted: Topology) -> None:
    """Raise CannotStartError if any of these do not exist. Any user of the broker may call it."""
    absent = await _absent(connection, wanted)
    if absent:
        raise CannotStartError(
            f"The broker is not set up: {' '.join(absent)} Run `ringback topology apply`."
        )


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


async def declare(connection: AbstractConnection, wanted: Topology) -> None:
    """Create what is missing, and remove obsolete bindings.

    Raises one of BROKER_UNAVAILABLE_ERRORS.
    """
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
        for binding in wanted.obsolete_bindings:
            bound = await channel.get_queue(binding.queue, ensure=False)
            await bound.unbind(binding.exchange, binding.routing_key)
        await channel.close()


async def _differing(connection: AbstractConnection, schedule: RetrySchedule) -> list[str]:
    try:
        await declare(connection, topology(schedule))
    except aio_pika.exceptions.ChannelPreconditionFailed as exc:
        return [f"An object on the broker has other arguments: {exc}"]
    return []


Passive = Callable[[AbstractChannel, str], Coroutine[Any, Any, object]]


async def _passive_exchange(channel: AbstractChannel, name: str) -> object:
    return await channel.declare_exchange(name, passive=True)


async def _passive_queue(channel: AbstractChannel, name: str) -> object:
    return await channel.declare_queue(name, passive=True)


async def _sentence_if_absent(
    connection: AbstractConnection, kind: str, name: str, declare: Passive
) -> str | None:
    """A passive declare of a missing object closes its channel, so each check uses its own."""
    async with asyncio.timeout(_DECLARE_TIMEOUT_S):
        # Without confirms: readiness checks run this, and they cost another round trip.
        channel = await connection.channel(publisher_confirms=False)
        try:
            await declare(channel, name)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return f"The {kind} {name} does not exist."
        await channel.close()
    return None


@asynccontextmanager
async def connected(amqp_url: str) -> AsyncGenerator[AbstractConnection, None]:
    """A connection that is closed with the context. Raises one of BROKER_UNAVAILABLE_ERRORS."""
    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
        connection = await aio_pika.connect(amqp_url)
    try:
        yield connection
    finally:
        await connection.close()
