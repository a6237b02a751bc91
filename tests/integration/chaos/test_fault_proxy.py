"""What chaos.fault_proxy does, as far as no test through it would notice an error of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from chaos.fault_proxy import FaultProxy

_SOON_S = 60.0
_NOT_SOON_S = 0.2

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connected = Callable[[FaultProxy], Awaitable[Ends]]


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy in front of its own echo server."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy.to(f"tcp://127.0.0.1:{port}/") as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def connected() -> AsyncIterator[Connected]:
    """A function that connects to a proxy; all connections are closed when the test ends."""
    writers = []

    async def connect(proxy: FaultProxy) -> Ends:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def answer(ends: Ends, data: bytes) -> bytes:
    """Send data and return what comes back."""
    ends[1].write(data)
    async with asyncio.timeout(_SOON_S):
        return await ends[0].readexactly(len(data))


async def arrives(what: Awaitable[bytes]) -> bool:
    """Return whether it arrives within a short time."""
    try:
        async with asyncio.timeout(_NOT_SOON_S):
            await what
    except TimeoutError:
        return False
    return True


async def test_a_reset_differs_from_a_close(proxy: FaultProxy, connected: Connected) -> None:
    """Existing connections get a RST or a FIN; later ones are served."""
    cut, reset = await connected(proxy), await connected(proxy)
    for ends in (cut, reset):
        assert await answer(ends, b"hello") == b"hello"

    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reset[0].read()
    cut = await connected(proxy)
    assert await answer(cut, b"hello") == b"hello"
    proxy.cut()

    async with asyncio.timeout(_SOON_S):
        assert await cut[0].read() == b""
    assert await answer(await connected(proxy), b"again") == b"again"


async def test_stranded_connections_stay_stranded(proxy: FaultProxy, connected: Connected) -> None:
    """They are open and silent, even when the client closes; new connections work."""
    old = await connected(proxy)
    assert await answer(old, b"hello") == b"hello"

    proxy.strand()

    old[1].write(b"hello")
    old[1].write_eof()
    assert not await arrives(old[0].read())
    proxy.lose_stranded()
    assert not await arrives(old[0].read())
    assert await answer(await connected(proxy), b"again") == b"again"


async def test_latency_delays_and_loses_nothing(proxy: FaultProxy, connected: Connected) -> None:
    """Every piece of data arrives, each direction later by the latency."""
    ends = await connected(proxy)
    assert await answer(ends, b"hello") == b"hello"
    proxy.latency_s = 0.2

    began = time.monotonic()
    for _ in range(20):
        ends[1].write(b"x")
        await asyncio.sleep(0.01)
    async with asyncio.timeout(_SOON_S):
        assert await ends[0].readexactly(20) == b"x" * 20

    assert time.monotonic() - began >= 0.4


async def test_its_end_closes_its_connections(proxy: FaultProxy, connected: Connected) -> None:
    """Even a silent connection is closed."""
    async with FaultProxy(proxy.port) as before:
        ends = await connected(before)
        assert await answer(ends, b"hello") == b"hello"
        before.silence()

    async with asyncio.timeout(_SOON_S):
        assert await ends[0].read() == b""
