"""Tests for ringback.runtime.amqp.connection.BrokerConnection with brokers that come and go."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from chaos.fault_proxy import FaultProxy
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS, BrokerConnection
from tests.support.eventually import eventually


class Sessions:
    """Records each connection given to `on_open`, and raises the given failures first."""

    def __init__(self, *failures: BaseException) -> None:
        self.opened: list[AbstractConnection] = []
        self._failures = list(failures)

    async def __call__(self, connection: AbstractConnection) -> None:
        await connection.channel()
        self.opened.append(connection)
        if self._failures:
            raise self._failures.pop(0)


@pytest.fixture
async def proxy(broker: PrivateBroker) -> AsyncIterator[FaultProxy]:
    """A proxy to a broker that refuses connections at first."""
    async with FaultProxy(broker.ports.amqp) as proxy:
        proxy.refuse()
        yield proxy


async def test_it_waits_for_an_unavailable_broker(broker: PrivateBroker, proxy: FaultProxy) -> None:
    """It keeps the reason, and connects when the broker is back."""
    sessions = Sessions()

    async with BrokerConnection(proxy.through(broker.amqp_url()), "test", sessions) as client:
        await client.wait_for_first_attempt()
        assert not client.is_connected
        assert isinstance(client.failure, BROKER_UNAVAILABLE_ERRORS)

        proxy.accept()
        await eventually(lambda: client.is_connected)

    assert client.failure is None
    assert len(sessions.opened) == 1


async def test_a_lost_session_is_followed_by_another(amqp_url: str) -> None:
    """`reconnect` closes the connection, and `on_open` runs on a new one."""
    sessions = Sessions()

    async with BrokerConnection(amqp_url, "test", sessions) as client:
        await client.wait_for_first_attempt()
        for _ in range(3):
            client.reconnect()
            await eventually(lambda: not client.is_connected)
            await eventually(lambda: client.is_connected)
        assert [c.is_closed for c in sessions.opened] == [True, True, True, False]


@pytest.mark.parametrize(
    "failure", [RuntimeError("bug"), OSError("gone"), asyncio.CancelledError()]
)
async def test_a_session_that_cannot_be_set_up_is_tried_again(
    amqp_url: str, failure: BaseException
) -> None:
    """Also if the library cancelled one of its futures; no connection stays open."""
    sessions = Sessions(failure, failure)

    async with BrokerConnection(amqp_url, "test", sessions) as client:
        await eventually(lambda: client.failure is failure)
        await eventually(lambda: client.is_connected)
        assert [c.is_closed for c in sessions.opened] == [True, True, False]


async def test_a_broken_connection_is_replaced(broker: PrivateBroker, proxy: FaultProxy) -> None:
    """A broken connection is replaced."""
    sessions = Sessions()
    proxy.accept()

    async with BrokerConnection(proxy.through(broker.amqp_url()), "test", sessions) as client:
        await eventually(lambda: client.is_connected)
        proxy.refuse()
        await eventually(lambda: not client.is_connected)
        proxy.accept()
        await eventually(lambda: client.is_connected)


async def test_a_silent_broker_does_not_delay_the_end(
    broker: PrivateBroker, proxy: FaultProxy
) -> None:
    """A clean close has a deadline."""
    url = proxy.through(broker.amqp_url())
    proxy.accept()

    async with (
        asyncio.timeout(60),
        BrokerConnection(url, "test", Sessions(), close_timeout_s=0.3) as client,
    ):
        await eventually(lambda: client.is_connected)
        proxy.silence()

    assert not client.is_connected


async def test_it_ends_while_it_closes_a_lost_connection(
    broker: PrivateBroker, proxy: FaultProxy
) -> None:
    """A cancellation is not mistaken for an error of the closing connection, which is not left."""
    proxy.accept()

    async with (
        asyncio.timeout(60),
        BrokerConnection(proxy.through(broker.amqp_url()), "test", Sessions()) as client,
    ):
        await eventually(lambda: client.is_connected)
        proxy.silence()
        client.reconnect()
        await eventually(lambda: not client.is_connected)

    # A loop that ends while aiormq closes would wait for it forever.
    left = [str(task.get_coro()) for task in asyncio.all_tasks()]
    assert not [coroutine for coroutine in left if "Connection.close" in coroutine]


async def test_a_hanging_opening_times_out(amqp_url: str) -> None:
    """A declare that never returns does not block the connection forever."""
    hung: list[AbstractConnection] = []

    async def hang_once(connection: AbstractConnection) -> None:
        hung.append(connection)
        if len(hung) == 1:
            await asyncio.Event().wait()

    async with BrokerConnection(amqp_url, "test", hang_once, open_timeout_s=0.2) as client:
        await eventually(lambda: client.is_connected)

    assert isinstance(hung[0], AbstractConnection)
    assert all(connection.is_closed for connection in hung)


@pytest.mark.parametrize("wait_s", [0.0, 0.003, 0.01, 0.05, 0.15])
async def test_it_ends_at_any_moment(amqp_url: str, wait_s: float) -> None:
    """While it connects, opens, is connected, closes or waits."""
    before = asyncio.all_tasks()

    async with asyncio.timeout(60):
        async with BrokerConnection(amqp_url, "test", Sessions()):
            await asyncio.sleep(wait_s)
        async with BrokerConnection(amqp_url, "test", Sessions()) as client:
            await client.wait_for_first_attempt()
            client.reconnect()
            await asyncio.sleep(wait_s)

    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_it_can_be_cancelled_from_outside(amqp_url: str) -> None:
    """A real cancellation is not mistaken for one of the library."""

    async def hold() -> None:
        async with BrokerConnection(amqp_url, "test", Sessions()) as client:
            await client.wait_for_first_attempt()
            client.reconnect()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0.05)
    holding.cancel()

    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await holding
