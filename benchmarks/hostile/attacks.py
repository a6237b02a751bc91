"""What each attacker does on one connection, repeatedly until the time is over."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from benchmarks.hostile.connection import Connection

Attack = Callable[[Connection, "Target"], Awaitable[None]]

MIB = 1024 * 1024
_DRIBBLE_S = 1.0
_MAX_LINE = 8000
_MAX_LINES = 120
_PIPELINED = 8


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    path: str
    secret: str

    def head(self, *lines: str, secret: str | None = None) -> bytes:
        shown = [] if secret is None else [f"X-Vapi-Secret: {secret}"]
        start = [f"POST {self.path} HTTP/1.1", f"Host: {self.host}"]
        return "\r\n".join([*start, *shown, "Content-Type: application/json", *lines]).encode()


async def idle(connection: Connection, _target: Target) -> None:
    """Connect and send nothing."""
    await connection.closed.wait()


async def slow_heads(connection: Connection, target: Target) -> None:
    """A header line each second, and never the last one."""
    await connection.send(target.head() + b"\r\n")
    await _dribble(connection, b"X-Slow: 1\r\n")


async def large_heads(connection: Connection, target: Target) -> None:
    """The maximum number of header lines of the maximum length, and never the last one."""
    await connection.send(target.head() + b"\r\n")
    for number in range(_MAX_LINES):
        if not await connection.send(b"X-%d: %s\r\n" % (number, b"x" * _MAX_LINE)):
            return
    await connection.closed.wait()


async def slow_bodies(connection: Connection, target: Target) -> None:
    """A body of 1 MiB, a byte each second; the sender knows the secret."""
    length = f"Content-Length: {MIB}"
    await connection.send(target.head(length, secret=target.secret) + b"\r\n\r\n")
    await _dribble(connection, b"x")


async def slow_untrusted_bodies(connection: Connection, target: Target) -> None:
    """The same without the secret."""
    await connection.send(target.head(f"Content-Length: {MIB}") + b"\r\n\r\n")
    await _dribble(connection, b"x")


async def flood(connection: Connection, target: Target) -> None:
    """Whole requests with a wrong secret, as fast as they are answered, eight at a time."""
    body = b'{"message":{"type":"hang"}}'
    head = target.head(f"Content-Length: {len(body)}", secret="wrong")  # ruff: ignore[hardcoded-password-func-arg]
    requests = (head + b"\r\n\r\n" + body) * _PIPELINED
    for turn in count(1):
        if not await connection.send(requests):
            return
        if not await connection.answers(turn * _PIPELINED):
            return


async def large_bodies(connection: Connection, target: Target) -> None:
    """Events of exactly 8 MiB, one after another; the sender knows the secret."""
    await _post_repeatedly(connection, target, _LARGE)


async def bombs(connection: Connection, target: Target) -> None:
    """Bodies of 64 KiB that unpack to 64 MiB; the sender knows the secret."""
    await _post_repeatedly(connection, target, _BOMB, "Content-Encoding: deflate")


async def brackets(connection: Connection, target: Target) -> None:
    """Events of 8 MiB that are millions of empty objects; the sender knows the secret."""
    await _post_repeatedly(connection, target, _BRACKETS)


async def _dribble(connection: Connection, piece: bytes) -> None:
    """A piece each second until the other side closes."""
    while await connection.send(piece):
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRIBBLE_S):
                await connection.closed.wait()


async def _post_repeatedly(
    connection: Connection, target: Target, body: bytes, *lines: str
) -> None:
    length = f"Content-Length: {len(body)}"
    request = target.head(length, *lines, secret=target.secret) + b"\r\n\r\n"
    for turn in count(1):
        if not (await connection.send(request) and await connection.send(body)):
            await connection.answers(turn)
            return
        if not await connection.answers(turn):
            return


def _event(start: bytes, piece: bytes, end: bytes, size_bytes: int) -> bytes:
    times = (size_bytes - len(start) - len(end)) // len(piece)
    return start + piece * times + end


_START = b'{"message":{"type":"conversation-update","x":'
_LARGE = _event(b'{"message":{"type":"hang","x":"', b"x", b'"}}', 8 * MIB)
_BRACKETS = _event(_START + b"[", b"{},", b"0]}}", 8 * MIB)
_BOMB = zlib.compress(b"x" * 64 * MIB, 9)

ATTACKS: Mapping[str, Attack] = {
    "idle": idle,
    "slow-heads": slow_heads,
    "large-heads": large_heads,
    "slow-bodies": slow_bodies,
    "slow-untrusted-bodies": slow_untrusted_bodies,
    "flood": flood,
    "large-bodies": large_bodies,
    "bombs": bombs,
    "brackets": brackets,
}
