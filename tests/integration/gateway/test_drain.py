"""Open connections while the gateway shuts down."""

import asyncio

import pytest

from tests.integration.gateway.keep_alive import GOOD, keep_alive, last_header
from tests.integration.gateway.running_gateway import (
    RunningGateway,
    running,
    settings_for,
)
from tests.support.eventually import eventually


async def test_idle_connections_get_one_more_response(
    ready_amqp_url: str, database_url: str
) -> None:
    """During the drain; then it ends without waiting for the timeout."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="60")

    async with running(settings) as gateway, keep_alive(gateway.port, 10) as idle:
        gateway.stop.set()
        await eventually(lambda: rejects_connections(gateway))
        assert not gateway.task.done()

        for connection in idle:
            assert await last_header(connection) == "close"
            assert await connection[0].read() == b""
        await gateway.session.close()
        async with asyncio.timeout(30):
            await gateway.task


async def test_received_requests_are_answered(ready_amqp_url: str, database_url: str) -> None:
    """All requests of one write; the last response closes the connection."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="60")

    async with running(settings) as gateway, keep_alive(gateway.port, 1) as [(reader, writer)]:
        gateway.stop.set()
        await eventually(lambda: rejects_connections(gateway))
        writer.write(GOOD * 5)
        answers = await reader.read()

    assert answers.count(b"HTTP/1.1 200 ") == 5
    assert answers.lower().count(b"connection: close") == 1


async def test_the_drain_does_not_wait_for_silent_connections(
    ready_amqp_url: str, database_url: str
) -> None:
    """It ends at its timeout."""
    settings = settings_for(ready_amqp_url, database_url, gateway_drain_timeout_s="0.5")

    async with running(settings) as gateway, keep_alive(gateway.port, 2) as [(reader, _), _]:
        gateway.stop.set()
        async with asyncio.timeout(30):
            await gateway.task
        assert await reader.read() == b""


async def test_the_setting_limits_idle_connections(
    ready_amqp_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an accepted webhook; other connections have the shorter limit."""
    monkeypatch.setattr("ringback.runtime.http.connection_limits.UNTRUSTED_IDLE_S", 0.1)
    settings = settings_for(ready_amqp_url, database_url, keepalive_timeout_s="3")

    async with running(settings) as gateway, keep_alive(gateway.port, 1) as [trusted]:
        untrusted, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        assert await untrusted.read() == b""
        assert await last_header(trusted) is None
        async with asyncio.timeout(30):
            assert await trusted[0].read() == b""
        writer.close()


async def test_idle_senders_do_not_block_others(
    ready_amqp_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that may be idle for long are evicted for new ones."""
    monkeypatch.setattr("ringback.runtime.http.connection_limits.UNTRUSTED_IDLE_S", 0.5)
    settings = settings_for(ready_amqp_url, database_url, max_connections="10")

    async with running(settings) as gateway, keep_alive(gateway.port, 10) as first:
        await asyncio.sleep(0.6)
        async with keep_alive(gateway.port, 8) as second:
            assert await gateway.metric("webhook_connections") <= 10
            # Those idle longest were evicted.
            for (reader, _), _ in zip(first, second, strict=False):
                assert await reader.read() == b""
            assert await last_header(second[0]) is None


async def rejects_connections(gateway: RunningGateway) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    except OSError:
        return True
    writer.close()
    return False
