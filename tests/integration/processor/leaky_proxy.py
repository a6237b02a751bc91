"""A TCP proxy that can lose a connection, or keep what a client says from the server."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65_536


class LeakyProxy:
    def __init__(self, port: int) -> None:
        self._port = port
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def through(self, url: str) -> str:
        """The same URL by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.replace(str(parts.port), str(port))))

    def withhold(self) -> None:
        """From now on nothing that a client sends reaches the server. What comes back does."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def refuse(self) -> None:
        """Lose every connection, and take no new one until `accept`."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        self._refusing = False

    def cut(self) -> None:
        """Lose every connection that there is; new ones are served."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        # Who is at the door at this moment would otherwise be served after the end.
        self.refuse()
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
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, onward}
        try:
            # A task of a stream server that ends by cancellation is reported as an error.
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(
                    self._pump(reader, onward, held=True),
                    self._pump(onward_reader, writer, held=False),
                )
        finally:
            for end in (writer, onward):
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            if held:
                await self._open.wait()
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError
