"""Open connections while the gateway shuts down."""

import asyncio

from tests.support.eventually import eventually
from tests.support.keep_alive import GOOD, keep_alive, last_header
from tests.unit.gateway.serving import ServedGateway, serving


async def test_idle_connections_get_one_more_response() -> None:
    """During the drain; then it ends without waiting for the timeout."""
    async with (
        serving(gateway_drain_timeout_s="60") as gateway,
        keep_alive(gateway.port, 10) as idle,
    ):
        gateway.stop.set()
        await eventually(lambda: rejects_connections(gateway))
        for connection in idle:
            assert await last_header(connection) == "close"
            assert await connection[0].read() == b""


async def test_received_requests_are_answered() -> None:
    """All requests of one write; the last response closes the connection."""
    async with (
        serving(gateway_drain_timeout_s="60") as gateway,
        keep_alive(gateway.port, 1) as [(reader, writer)],
    ):
        gateway.stop.set()
        await eventually(lambda: rejects_connections(gateway))
        writer.write(GOOD * 5)
        answers = await reader.read()

    assert answers.count(b"HTTP/1.1 200 ") == 5
    assert answers.lower().count(b"connection: close") == 1


async def test_the_drain_does_not_wait_for_silent_connections() -> None:
    """It ends at its timeout."""
    async with (
        serving(gateway_drain_timeout_s="0.5") as gateway,
        keep_alive(gateway.port, 2) as [(reader, _), _],
    ):
        gateway.stop.set()
        assert await reader.read() == b""


async def rejects_connections(gateway: ServedGateway) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    except OSError:
        return True
    writer.close()
    return False
