"""What becomes of connections that are kept open when the gateway is told to stop."""

import asyncio

import pytest

from tests.integration.gateway.keep_alive import GOOD, keep_alive, last_header
from tests.integration.gateway.running_gateway import (
    RunningGateway,
    running,
    settings_for,
)
from tests.support.eventually import eventually


async def test_idle_connections_are_answered_once_more(
    ready_amqp_url: str, database_url: str
) -> None:
    """While it drains; then it ends, without waiting for the rest of the time."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="60")

    async with running(settings) as gateway, keep_alive(gateway.port, 10) as idle:
        gateway.stop.set()
        await eventually(lambda: refuses_connections(gateway))
        assert not gateway.task.done()

        for connection in idle:
            assert await last_header(connection) == "close"
            assert await connection[0].read() == b""
        await gateway.session.close()
        async with asyncio.timeout(30):
            await gateway.task


async def test_requests_that_are_here_are_answered(ready_amqp_url: str, database_url: str) -> None:
    """Several that came in one write, of which the last one closes."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="60")

    async with running(settings) as gateway, keep_alive(gateway.port, 1) as [(reader, writer)]:
        gateway.stop.set()
        await eventually(lambda: refuses_connections(gateway))
        writer.write(GOOD * 5)
        answers = await reader.read()

    assert answers.count(b"HTTP/1.1 200 ") == 5
    assert answers.lower().count(b"connection: close") == 1


async def test_who_says_nothing_more_is_not_waited_for_longer(
    ready_amqp_url: str, database_url: str
) -> None:
    """The drain has an end."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="0.5")

    async with running(settings) as gateway, keep_alive(gateway.port, 2) as [(reader, _), _]:
        gateway.stop.set()
        async with asyncio.timeout(30):
            await gateway.task
        assert await reader.read() == b""


async def test_idle_connections_stay_as_long_as_the_setting_says(
    ready_amqp_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have brought a webhook; others go after the short time."""
    monkeypatch.setattr("ringback.runtime.connections.STRANGER_WAITS_S", 0.1)
    settings = settings_for(ready_amqp_url, database_url, keepalive_timeout_s="3")

    async with running(settings) as gateway, keep_alive(gateway.port, 1) as [known]:
        stranger, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        assert await stranger.read() == b""
        assert await last_header(known) is None
        async with asyncio.timeout(30):
            assert await known[0].read() == b""
        writer.close()


async def test_idle_senders_keep_no_other_sender_out(
    ready_amqp_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that may be idle for long give way where there is no room for new ones."""
    monkeypatch.setattr("ringback.runtime.connections.STRANGER_WAITS_S", 0.5)
    settings = settings_for(ready_amqp_url, database_url, max_connections="10")

    async with running(settings) as gateway, keep_alive(gateway.port, 10) as first:
        await asyncio.sleep(0.6)
        async with keep_alive(gateway.port, 8) as second:
            assert await gateway.metric("webhook_connections") <= 10
            # Those that were idle for longest had to go.
            for (reader, _), _ in zip(first, second, strict=False):
                assert await reader.read() == b""
            assert await last_header(second[0]) is None


async def refuses_connections(gateway: RunningGateway) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    except OSError:
        return True
    writer.close()
    return False
