"""Tests for ringback.runtime.amqp.connection.BrokerConnection with brokers that come and go."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from chaos.fault_proxy import FaultProxy
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp import connection as rabbit
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS, BrokerConnection
from tests.support.eventually import eventually


class Sessions:
    """Notes each connection that `on_open` was given; fails as often as it is told to."""

    def __init__(self, *failures: BaseException) -> None:
        self.opened: list[AbstractConnection] = []
        self._failures = list(failures)

    async def __call__(self, connection: AbstractConnection) -> None:
        await connection.channel()
        self.opened.append(connection)
        if self._failures:
            raise self._failures.pop(0)


@pytest.fixture
async def door(broker: PrivateBroker) -> AsyncIterator[FaultProxy]:
    """A way to a broker that is shut at first."""
    async with FaultProxy(broker.ports.amqp) as door:
        door.refuse()
        yield door


async def test_a_link_waits_for_a_broker_that_is_away(
    broker: PrivateBroker, door: FaultProxy
) -> None:
    """It says why it is down, and connects when it can."""
    sessions = Sessions()

    async with BrokerConnection(door.through(broker.amqp_url()), "test", sessions) as link:
        await link.wait_for_first_attempt()
        assert not link.is_connected
        assert isinstance(link.failure, BROKER_UNAVAILABLE_ERRORS)

        door.accept()
        await eventually(lambda: link.is_connected)

    assert link.failure is None
    assert len(sessions.opened) == 1


async def test_a_lost_session_is_followed_by_another(amqp_url: str) -> None:
    """`lost` gives the connection up, and what `on_open` set up is set up anew."""
    sessions = Sessions()

    async with BrokerConnection(amqp_url, "test", sessions) as link:
        await link.wait_for_first_attempt()
        for _ in range(3):
            link.reconnect()
            await eventually(lambda: not link.is_connected)
            await eventually(lambda: link.is_connected)
        assert [c.is_closed for c in sessions.opened] == [True, True, True, False]


@pytest.mark.parametrize(
    "failure", [RuntimeError("bug"), OSError("gone"), asyncio.CancelledError()]
)
async def test_a_session_that_cannot_be_set_up_is_tried_again(
    amqp_url: str, failure: BaseException
) -> None:
    """Also when a future of the library was cancelled under it; and no connection is left over."""
    sessions = Sessions(failure, failure)

    async with BrokerConnection(amqp_url, "test", sessions) as link:
        await eventually(lambda: link.failure is failure)
        await eventually(lambda: link.is_connected)
        assert [c.is_closed for c in sessions.opened] == [True, True, False]


async def test_a_cut_connection_is_noticed(broker: PrivateBroker, door: FaultProxy) -> None:
    """A connection that dies under the link is replaced without anybody's help."""
    sessions = Sessions()
    door.accept()

    async with BrokerConnection(door.through(broker.amqp_url()), "test", sessions) as link:
        await eventually(lambda: link.is_connected)
        door.refuse()
        await eventually(lambda: not link.is_connected)
        door.accept()
        await eventually(lambda: link.is_connected)


async def test_a_broker_that_says_no_more_does_not_hold_up_the_end(
    broker: PrivateBroker, door: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A polite goodbye has its deadline."""
    monkeypatch.setattr(rabbit, "_CLOSE_TIMEOUT_S", 0.3)
    door.accept()

    async with (
        asyncio.timeout(60),
        BrokerConnection(door.through(broker.amqp_url()), "test", Sessions()) as link,
    ):
        await eventually(lambda: link.is_connected)
        door.silence()

    assert not link.is_connected


async def test_a_link_ends_while_it_closes_what_was_lost(
    broker: PrivateBroker, door: FaultProxy
) -> None:
    """The order to end is not taken for a trouble of the connection that is being closed."""
    door.accept()

    async with (
        asyncio.timeout(60),
        BrokerConnection(door.through(broker.amqp_url()), "test", Sessions()) as link,
    ):
        await eventually(lambda: link.is_connected)
        door.silence()
        link.reconnect()
        await eventually(lambda: not link.is_connected)


async def test_an_opening_that_hangs_is_given_up(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A declare that never returns does not leave the link half open for good."""
    monkeypatch.setattr(rabbit, "_OPEN_TIMEOUT_S", 0.2)
    hung: list[AbstractConnection] = []

    async def hang_once(connection: AbstractConnection) -> None:
        hung.append(connection)
        if len(hung) == 1:
            await asyncio.Event().wait()

    async with BrokerConnection(amqp_url, "test", hang_once) as link:
        await eventually(lambda: link.is_connected)

    assert isinstance(hung[0], AbstractConnection)
    assert all(connection.is_closed for connection in hung)


@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05, 0.1, 0.15])
async def test_a_link_ends_at_any_moment(amqp_url: str, wait_s: float) -> None:
    """While it connects, opens, is up, closes what was lost, or waits: it ends, and soon."""
    before = asyncio.all_tasks()

    async with asyncio.timeout(60):
        async with BrokerConnection(amqp_url, "test", Sessions()):
            await asyncio.sleep(wait_s)
        async with BrokerConnection(amqp_url, "test", Sessions()) as link:
            await link.wait_for_first_attempt()
            link.reconnect()
            await asyncio.sleep(wait_s)

    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_a_link_can_be_cancelled_from_outside(amqp_url: str) -> None:
    """When the loop is torn down it does not take the cancellation for one of the library's."""

    async def hold() -> None:
        async with BrokerConnection(amqp_url, "test", Sessions()) as link:
            await link.wait_for_first_attempt()
            link.reconnect()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0.05)
    holding.cancel()

    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await holding
