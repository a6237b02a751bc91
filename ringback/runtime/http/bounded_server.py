"""An aiohttp HTTP server with limits on its connections and on how long they wait for a request."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import HttpVersion11, StreamReader, hdrs, web

from ringback.runtime.http.connection_limits import NO_IDLE_TIMEOUT_S, CloseReason, ConnectionLimits
from ringback.runtime.process.background import run_in_background

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BAD_REQUEST = 400


class BoundedHandler(web.RequestHandler):
    """One connection. It reports its progress to `ConnectionLimits`, which may close it."""

    __slots__ = ("_body", "_limits")

    def __init__(self, server: web.Server, *, limits: ConnectionLimits, **options: object) -> None:
        super().__init__(server, **options)  # type: ignore[arg-type]  # handed through as they came
        self._limits = limits
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._limits.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limits.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        is_of_body = self._body is not None and not self._body.is_eof()
        super().data_received(data)
        if self._request_count != before:
            self._limits.request_started(self)
            if self._messages:
                self._body = self._messages[-1][1]
        elif data and not is_of_body:
            self._limits.received_partial_head(self, len(data))

    def close_for(self, reason: CloseReason) -> None:
        del reason  # A connection that sends no request gets no answer.
        if self.transport is not None:
            self.transport.abort()


async def send_continue(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`, so that the client sends the body.

    HTTP/1.0 has no such response; other expectations are ignored.
    """
    expected = request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    if expected and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


@asynccontextmanager
async def bounded_server(
    answer: Answer,
    connections: ConnectionLimits,
    *,
    handler: type[BoundedHandler] = BoundedHandler,
    handler_cancellation: bool = False,
) -> AsyncGenerator[web.Server, None]:
    """Run a server that closes slow connections.

    A connection is trusted once one of its requests was answered with a status below 400.
    """

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        accepted = False
        try:
            response = await answer(request)
            accepted = response.status < _BAD_REQUEST
        finally:
            connections.request_finished(request.protocol, accepted=accepted)  # type: ignore[arg-type]  # a BoundedHandler
        return response

    async with run_in_background(connections.keep_closing_slow):
        yield _Server(answered, connections, handler, handler_cancellation=handler_cancellation)


class _Server(web.Server):
    def __init__(
        self,
        answer: Answer,
        connections: ConnectionLimits,
        handler: type[BoundedHandler],
        *,
        handler_cancellation: bool,
    ) -> None:
        super().__init__(
            answer,
            handler_cancellation=handler_cancellation,
            access_log=None,
            logger=logging.getLogger("ringback.http"),
            keepalive_timeout=NO_IDLE_TIMEOUT_S,
        )
        self._limits = connections
        self._handler = handler

    def __call__(self) -> web.RequestHandler:
        return self._handler(
            self, limits=self._limits, loop=asyncio.get_running_loop(), **self._kwargs
        )
