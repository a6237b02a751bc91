"""A service that the handlers of a chaos run call. It works, hangs or fails, as it is told."""

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum, auto

from chaos.loopback_server import LoopbackServer

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
class Shop(LoopbackServer):
    mode: Mode = Mode.WORKS
    served: int = 0
    failed: int = 0
    works_again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first call that it serves after a change of the mode."""

    def become(self, mode: Mode) -> None:
        """Change the mode. What hangs is reset."""
        self.mode = mode
        self.works_again.clear()
        self.reset()

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
