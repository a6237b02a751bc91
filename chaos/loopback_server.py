"""A server on loopback that a run of the chaos suite talks to."""

import asyncio
from dataclasses import dataclass, field
from typing import Self

from ringback.local.ports import LOOPBACK


@dataclass(slots=True)
class LoopbackServer:
    """Listens while entered, on any free port if none is given."""

    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def kill(self) -> None:
        """Close the port and all connections at once, as the end of its process would."""
        if self._server is not None:
            self._server.close()
        self.reset()

    def reset(self) -> None:
        """Close all connections."""
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
        """Handle one request; whether the connection is kept."""
        raise NotImplementedError
