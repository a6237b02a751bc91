"""The proxy in front of a server that says everything back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from chaos.fault_proxy import FaultProxy
from tests.support.eventually import eventually

_SOON_S = 10.0
_NOT_SOON_S = 0.2

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connected = Callable[[FaultProxy], Awaitable[Ends]]


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy before a server of its own."""

    async def say_it_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while said := await reader.read(1000):
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(say_it_back, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy.to(f"tcp://127.0.0.1:{port}/") as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def connected() -> AsyncIterator[Connected]:
    """A function that connects to a proxy; all is closed when the test ends."""
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


async def answer(ends: Ends, words: bytes) -> bytes:
    """Say something and give what comes back."""
    ends[1].write(words)
    async with asyncio.timeout(_SOON_S):
        return await ends[0].readexactly(len(words))


async def comes(what: Awaitable[bytes]) -> bool:
    """Say whether it comes, without waiting for long."""
    try:
        async with asyncio.timeout(_NOT_SOON_S):
            await what
    except TimeoutError:
        return False
    return True


async def test_it_passes_all_that_is_said(proxy: FaultProxy, connected: Connected) -> None:
    """More than fits into one packet, unchanged, both ways."""
    words = bytes(range(256)) * 8000

    assert await answer(await connected(proxy), words) == words


def test_a_url_leads_through_it(proxy: FaultProxy) -> None:
    """All but the port stays."""
    url = "amqp://guest:guest@127.0.0.1:5672/%2F?heartbeat=5"

    assert proxy.through(url) == f"amqp://guest:guest@127.0.0.1:{proxy.port}/%2F?heartbeat=5"


async def test_a_side_that_ends_ends_the_other(proxy: FaultProxy, connected: Connected) -> None:
    """The server hears that the client is gone, and the client that the server has answered."""
    reader, writer = await connected(proxy)

    writer.write_eof()

    async with asyncio.timeout(_SOON_S):
        assert await reader.read() == b""


async def test_a_reset_is_told_from_an_end(proxy: FaultProxy, connected: Connected) -> None:
    """What is there now gets a RST or a FIN; what comes later is served."""
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


async def test_refusing_serves_nobody_until_it_accepts(
    proxy: FaultProxy, connected: Connected
) -> None:
    """Who is there is cut, who comes is turned away."""
    old = await connected(proxy)
    assert await answer(old, b"hello") == b"hello"

    proxy.refuse()

    assert await old[0].read() == b""
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await answer(await connected(proxy), b"hello")
    proxy.accept()
    assert await answer(await connected(proxy), b"again") == b"again"


async def test_silence_keeps_the_connection_and_all_that_is_said(
    proxy: FaultProxy, connected: Connected
) -> None:
    """A connection can even be made meanwhile; what was said comes when it ends."""
    old = await connected(proxy)
    assert await answer(old, b"hello") == b"hello"

    proxy.silence()
    new = await connected(proxy)
    for ends in (old, new):
        ends[1].write(b"later")
        assert not await comes(ends[0].readexactly(5))
    proxy.release()

    for ends in (old, new):
        async with asyncio.timeout(_SOON_S):
            assert await ends[0].readexactly(5) == b"later"


async def test_what_is_stranded_stays_so(proxy: FaultProxy, connected: Connected) -> None:
    """It is open and mute, also towards who ends it; new connections know nothing of it."""
    old = await connected(proxy)
    assert await answer(old, b"hello") == b"hello"

    proxy.strand()

    old[1].write(b"hello")
    old[1].write_eof()
    assert not await comes(old[0].read())
    proxy.lose_stranded()
    assert not await comes(old[0].read())
    assert await answer(await connected(proxy), b"again") == b"again"


async def test_latency_delays_and_loses_nothing(proxy: FaultProxy, connected: Connected) -> None:
    """Each way takes its time; what is said meanwhile is not held up by what was said before."""
    ends = await connected(proxy)
    assert await answer(ends, b"hello") == b"hello"
    proxy.latency_s = 0.2

    began = time.monotonic()
    for _ in range(20):
        ends[1].write(b"x")
        await asyncio.sleep(0.01)
    async with asyncio.timeout(_SOON_S):
        assert await ends[0].readexactly(20) == b"x" * 20

    # Twenty times two ways, one after the other, would be eight seconds.
    assert 0.4 <= time.monotonic() - began < 4


async def test_its_end_ends_what_passes(proxy: FaultProxy, connected: Connected) -> None:
    """Also a connection on which nothing passes any more."""
    async with FaultProxy(proxy.port) as before:
        ends = await connected(before)
        assert await answer(ends, b"hello") == b"hello"
        before.silence()

    async with asyncio.timeout(_SOON_S):
        assert await ends[0].read() == b""
    await eventually(lambda: not proxy._passages)
