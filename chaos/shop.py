"""A service that the handlers of a chaos run call. It works, hangs or fails, as it is told."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Self

from ringback.local.ports import LOOPBACK

PORT_VARIABLE = "CHAOS_SHOP_PORT"
"""Where the handlers find it. Without it they call nothing."""

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Mode(StrEnum):
    WORKS = auto()
    #: It accepts connections and requests, and never answers.
    HANGS = auto()
    #: It answers 503, closes the connection without an answer, or resets it, in turn.
    FAILS = auto()


@dataclass(slots=True)
class Shop:
    port: int = 0
    mode: Mode = Mode.WORKS
    served: int = 0
    failed: int = 0
    works_again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first call that it serves after a change of the mode."""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._abort()

    def become(self, mode: Mode) -> None:
        """Change the mode. What hangs is reset."""
        self.mode = mode
        self.works_again.clear()
        self._abort()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request, which has no body; whether the connection is kept."""
        await reader.readuntil(b"\r\n\r\n")
        if self.mode is Mode.WORKS:
            self.served += 1
            self.works_again.set()
            writer.write(_OK)
            return True
        self.failed += 1
        if self.mode is Mode.HANGS:
            await reader.read()
            return False
        if self.failed % 3 == 0:
            writer.write(_FAILED)
            return True
        if self.failed % 3 == 1:
            writer.transport.abort()
        return False
