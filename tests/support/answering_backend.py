"""A backend on loopback that answers in every wrong way, by the path of the request."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass
class Backend:
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    scheme: str = "http"
    release: asyncio.Event = field(default_factory=asyncio.Event)
    is_down: bool = False
    answer: bytes = b"{}"
    """The body of the answer at /answer."""

    def url(self, path: str = "/ok", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(size))
        answer = _ANSWERS[head.split(b" ")[1].decode()]
        return await answer(self, writer)


Answer = Callable[[Backend, asyncio.StreamWriter], Awaitable[bool]]


def _text(text: bytes, *, keeps: bool = True) -> Answer:
    async def answer(_: Backend, writer: asyncio.StreamWriter) -> bool:
        writer.write(text)
        await writer.drain()
        return keeps

    return answer


async def _json(backend: Backend, writer: asyncio.StreamWriter) -> bool:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return await _text(head % len(backend.answer) + backend.answer)(backend, writer)


async def _hang(backend: Backend, writer: asyncio.StreamWriter) -> bool:
    await backend.release.wait()
    return await _text(OK)(backend, writer)


async def _half(backend: Backend, writer: asyncio.StreamWriter) -> bool:
    writer.write(OK[:-1])
    await backend.release.wait()
    return False


async def _endless(_: Backend, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def _slowly(text: bytes) -> Answer:
    """A byte at a time, with a pause after each."""

    async def answer(backend: Backend, writer: asyncio.StreamWriter) -> bool:
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(backend.release.wait(), 1.0)
        return True

    return answer


async def _reset(_: Backend, writer: asyncio.StreamWriter) -> bool:  # ruff: ignore[unused-async]  # as the others
    """Close the connection by a reset instead of its end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


async def _head_then_slowly(backend: Backend, writer: asyncio.StreamWriter) -> bool:
    """The status at once, and a body that takes a minute."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
    return await _slowly(b"x" * 60)(backend, writer)


async def _flap(backend: Backend, writer: asyncio.StreamWriter) -> bool:
    """Fail as long as `is_down`, in a different way each time."""
    if not backend.is_down:
        return await _text(OK)(backend, writer)
    ways = [_status(503), _text(b"", keeps=False), _text(OK[:-1], keeps=False)]
    return await ways[len(backend.heads) % len(ways)](backend, writer)


def _status(status: int, more: bytes = b"") -> Answer:
    return _text(b"HTTP/1.1 %d Word\r\n%sContent-Length: 0\r\n\r\n" % (status, more))


_ANSWERS: dict[str, Answer] = {
    "/ok": _text(OK),
    "/answer": _json,
    "/201": _text(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"),
    "/odd-type": _text(OK.replace(b"application/json", b"application/\x01\xff")),
    "/html": _text(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"),
    "/list": _text(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
    "/hang": _hang,
    "/half": _half,
    "/cut": _text(OK[:-1], keeps=False),
    "/close": _text(b"", keeps=False),
    "/endless": _endless,
    "/not-http": _text(b"SSH-2.0-OpenSSH_9.2\r\n", keeps=False),
    "/redirect": _status(302, b"Location: http://169.254.169.254/\r\n"),
    "/500": _status(500),
    "/404": _status(404),
    "/429": _status(429),
    "/410": _status(410),
    "/503": _status(503, b"Retry-After: 60\r\n"),
    "/reset": _reset,
    "/slow-head": _slowly(OK),
    "/slow-body": _head_then_slowly,
    "/flap": _flap,
    "/heads": _text(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500 + b"\r\n", keeps=False),
}


@asynccontextmanager
async def backend(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Backend, None]:
    served = Backend(scheme="http" if tls is None else "https")
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        served.release.set()
        server.close()
