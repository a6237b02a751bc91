"""A TCP proxy on loopback that simulates network faults."""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from ringback.local.ports import LOOPBACK

_CHUNK_BYTES = 65_536
_MOST_UNDER_WAY = 64
_TURNS_TO_BE_SERVED = 10
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_Line: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"
"""Data in transit in one direction, with the time at which it arrives; b"" is the end."""


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True, eq=False)
class _Passage:
    """One connection through the proxy: the client's end and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passes: asyncio.Event = field(default_factory=_set)

    def abort(self, *, with_reset: bool = False) -> None:
        for end in (self.client, self.server):
            if with_reset and not end.transport.is_closing():
                _reset_on_close(end)
            end.transport.abort()


class FaultProxy:
    """Forwards bytes to a port on loopback inside this context, with the faults it is set to.

    When one side closes its connection, the other side's is closed as soon as the end arrives.
    """

    def __init__(self, port: int) -> None:
        self.latency_s = 0.0
        """How much later than sent everything arrives, in each direction."""
        self._target_port = port
        self._onward = _set()
        self._back = _set()
        self._refusing = False
        self._passages: set[_Passage] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    def to(cls, url: str) -> Self:
        """Make one before the port of a URL."""
        port = urlsplit(url).port
        assert port is not None, "a URL with a port"
        return cls(port)

    @property
    def port(self) -> int:
        assert self._server is not None, "it has a port while it is entered"
        return int(self._server.sockets[0].getsockname()[1])

    def through(self, url: str) -> str:
        """The same URL through this proxy."""
        parts = urlsplit(url)
        netloc = parts.netloc.replace(f":{parts.port}", f":{self.port}")
        return urlunsplit(parts._replace(netloc=netloc))

    def cut(self) -> None:
        """Close every existing connection; new ones are served."""
        for passage in list(self._passages):
            passage.abort()

    def reset(self) -> None:
        """Close every existing connection with a RST; new ones are served."""
        for passage in list(self._passages):
            passage.abort(with_reset=True)

    def refuse(self) -> None:
        """Close every connection, and refuse new ones until `accept`."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        self._refusing = False

    def withhold(self) -> None:
        """From now on nothing from clients reaches the server. Answers still arrive."""
        self._onward.clear()

    def silence(self) -> None:
        """From now on nothing passes either way, not even a close. Connections can be made."""
        self._onward.clear()
        self._back.clear()

    def release(self) -> None:
        """Forward what was withheld, and everything that follows."""
        self._onward.set()
        self._back.set()

    def strand(self) -> None:
        """Nothing passes again on the existing connections; new ones work.

        This is what happens when a firewall has dropped its state: neither side is notified.
        """
        for passage in self._passages:
            passage.passes.clear()

    def lose_stranded(self) -> None:
        """Close stranded connections on the server's side, like a keepalive without an answer.

        Their clients are not notified.
        """
        for passage in self._passages:
            if not passage.passes.is_set():
                passage.server.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # A connection arriving at this moment would otherwise be served after the end, or be
        # accepted and left open: the loop needs some turns before it calls `_serve`.
        self.refuse()
        for _turn in range(_TURNS_TO_BE_SERVED):
            await asyncio.sleep(0)
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refusing:
            writer.transport.abort()
            return
        try:
            answers, onward = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        passage = _Passage(writer, onward)
        self._passages.add(passage)
        try:
            # A task of a stream server that ends by cancellation is reported as an error.
            with suppress(OSError, asyncio.CancelledError):
                await self._pass(reader, answers, passage)
        finally:
            passage.abort()
            self._passages.discard(passage)

    async def _pass(
        self, reader: asyncio.StreamReader, answers: asyncio.StreamReader, passage: _Passage
    ) -> None:
        there: _Line = asyncio.Queue(_MOST_UNDER_WAY)
        back: _Line = asyncio.Queue(_MOST_UNDER_WAY)
        parts = [
            asyncio.ensure_future(self._take(reader, there)),
            asyncio.ensure_future(self._take(answers, back)),
            asyncio.ensure_future(_give(there, passage.server, self._onward, passage.passes)),
            asyncio.ensure_future(_give(back, passage.client, self._back, passage.passes)),
        ]
        try:
            # The writer ends with an error; the reader waits until then.
            await asyncio.gather(*parts)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, line: _Line) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                chunk = await reader.read(_CHUNK_BYTES)
            except OSError:
                chunk = b""
            await line.put((loop.time() + self.latency_s, chunk))
            if not chunk:
                return


async def _give(
    line: _Line, writer: asyncio.StreamWriter, flows: asyncio.Event, passes: asyncio.Event
) -> None:
    """Forward what is due while both ends allow it. Raises ConnectionError at its end."""
    loop = asyncio.get_running_loop()
    while True:
        due, chunk = await line.get()
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        await flows.wait()
        await passes.wait()
        if not chunk or writer.transport.is_closing():
            raise ConnectionResetError
        writer.write(chunk)
        await writer.drain()


def _reset_on_close(end: asyncio.StreamWriter) -> None:
    """Let the kernel send a RST when the connection is closed, not a FIN."""
    # Not every event loop lets the option be set on its own view of the socket.
    with suppress(OSError), socket.socket(fileno=os.dup(_fileno(end))) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


def _fileno(end: asyncio.StreamWriter) -> int:
    return int(end.get_extra_info("socket").fileno())
