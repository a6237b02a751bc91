"""Small versions of attacks: a good client is served during each."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from ringback.runtime.http.connection_limits import UNTRUSTED_IDLE_S
from tests.support.eventually import eventually
from tests.support.gateway_client import assert_problem
from tests.support.keep_alive import GOOD
from tests.unit.gateway.serving import HANG, START, ServedGateway, serving

MIB = 1024 * 1024


@asynccontextmanager
async def connections(
    gateway: ServedGateway, count: int, data: bytes
) -> AsyncGenerator[list[asyncio.StreamReader]]:
    """Connections that have sent these bytes, and send no more."""
    opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(count)]
    for _, writer in opened:
        writer.write(data)
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def closed(readers: list[asyncio.StreamReader]) -> int:
    """How many of them the gateway has closed."""
    await asyncio.sleep(0)
    return sum(reader.at_eof() or reader.exception() is not None for reader in readers)


async def test_idle_connections_do_not_block_others() -> None:
    """Those idle longest are evicted, but not those with an accepted webhook."""
    async with serving(lambda: 100.0, max_connections="20") as gateway:
        assert (await gateway.send(HANG)).status == 200
        async with connections(gateway, 60, b"") as readers:
            await eventually(lambda: at_least(gateway, "evicted", 40))

            assert gateway.metric("webhook_connections") <= 20
            assert (await gateway.send(HANG)).status == 200
            async with connections(gateway, 1, GOOD) as [new]:
                assert (await new.readline()).startswith(b"HTTP/1.1 200 ")
            assert await closed(readers) >= 40


def at_least(gateway: ServedGateway, reason: str, count: int) -> bool:
    return gateway.metric("webhook_connections_closed_total", reason=reason) >= count


async def test_a_slow_head_is_rejected() -> None:
    """With 408; a connection that has sent nothing is closed without a response."""
    now_s = 100.0
    async with (
        serving(lambda: now_s) as gateway,
        connections(gateway, 1, START.encode()) as [slow],
        connections(gateway, 1, b"") as [silent],
    ):
        await eventually(lambda: gateway.metric("webhook_connections") == 2)
        now_s += UNTRUSTED_IDLE_S + 1

        assert (await slow.read()).startswith(b"HTTP/1.1 408 ")
        assert await silent.read() == b""
        assert at_least(gateway, "slow", 2)


async def test_slow_bodies_leave_room() -> None:
    """Even with the secret, slow bodies may not use the last quarter of the requests."""
    async with serving(max_in_flight="8") as gateway:
        slow = f"{START}Content-Length: 100\r\n\r\n{{".encode()
        async with connections(gateway, 6, slow):
            rejected = await eventually(lambda: rejected_as_busy(gateway, slow))
            accepted = await gateway.send(HANG)

    assert rejected
    assert accepted.status == 200


async def rejected_as_busy(gateway: ServedGateway, slow: bytes) -> bool:
    """Whether one more slow request is rejected."""
    async with connections(gateway, 1, slow) as [reader]:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                return (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        return False


async def test_large_bodies_leave_room(gateway: ServedGateway) -> None:
    """With three of 8 MiB in flight, a fourth is rejected at once and a small one is accepted."""
    large = f"{START}Content-Length: {8 * MIB}\r\n\r\n{{".encode()

    async with connections(gateway, 3, large):
        await eventually(lambda: rejected_as_busy(gateway, large))
        accepted = await gateway.send(HANG)

    assert accepted.status == 200


async def test_a_bomb_without_the_secret_is_not_decompressed(gateway: ServedGateway) -> None:
    """It gets 401; with the secret it is rejected at the size limit."""
    bomb = zlib.compress(b"x" * 64 * MIB)
    packed = {"Content-Encoding": "deflate"}

    assert_problem(await gateway.send(bomb, headers=packed, secret=None), 401, "does not prove")
    assert_problem(await gateway.send(bomb, headers=packed), 413, "larger")
    nested = gzip.compress(gzip.compress(b"x" * 64 * MIB))
    twice = {"Content-Encoding": "gzip, gzip"}
    assert_problem(await gateway.send(nested, headers=twice), 413, "larger")
    many = gzip.compress(b"x" * MIB) * 64
    assert_problem(await gateway.send(many, headers={"Content-Encoding": "gzip"}), 413, "larger")
