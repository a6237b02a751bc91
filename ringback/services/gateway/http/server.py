"""The HTTP server: listens, passes requests to the handler and writes its responses."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Self

from aiohttp import HttpVersion11, web

from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import listen
from ringback.runtime.process.background import run_in_background
from ringback.services.gateway.http.connection import HttpConnection
from ringback.services.gateway.http.rejection import SERVER, Rejection, problem_response
from ringback.services.gateway.questions.answers import Answer
from ringback.services.gateway.webhook import AcceptedWebhook

Handle = Callable[[web.BaseRequest], Awaitable[AcceptedWebhook | Answer | Rejection]]

_SHUTDOWN_TIMEOUT_S = 0.5
"""How long requests that outlast the drain timeout have to finish after they are cancelled."""

_LAST_ANSWERS_S = 1.0
_LAST_ANSWERS_SHARE = 0.2
"""How long before the drain timeout the handler stops waiting: a second, or a fifth if shorter."""


class _HttpServer(web.Server):
    """Creates an HttpConnection for each connection.

    This is aiohttp's low-level server: two paths need no router, and a body that announces too
    large a size is rejected before `100 Continue`.
    """

    def __init__(
        self,
        answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(answer)
        self._limits = limits

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, self._limits, access_log=None)


class Server:
    """Listens while running.

    On exit it stops listening and finishes the requests in flight. Connections stay open until each
    has had one more response, with `Connection: close`, or until the drain timeout: a sender whose
    request meets a closing connection would not learn whether its webhook was accepted. Shortly
    before the drain timeout it calls `stop_waiting`, so that requests which would outlast it are
    answered.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        handle: Handle,
        connections: ConnectionLimits,
        drain_timeout_s: float,
        stop_waiting: Callable[[], None],
    ) -> None:
        self._address = (host, port)
        self._handle = handle
        self._drain_timeout_s = drain_timeout_s
        self._stop_waiting = stop_waiting
        self._connections = connections
        self._runner: web.ServerRunner | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._draining = False

    @property
    def port(self) -> int:
        """The port in use, also where the settings ask for any free one (0)."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Listen while entered. Raises CannotStartError when the port cannot be used."""
        server = _HttpServer(self._answer, self._connections)
        self._runner = runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            for listening in listen(*self._address, setting="RINGBACK_GATEWAY_PORT"):
                await web.SockSite(runner, listening, backlog=1024).start()
            async with run_in_background(self._connections.keep_closing_slow):
                try:
                    yield self
                finally:
                    await self._drain()
        finally:
            # aiohttp stops reading bodies once its cleanup has begun, so that is the last step.
            await runner.cleanup()

    async def _drain(self) -> None:
        assert self._runner is not None
        self._draining = True
        for site in self._runner.sites:
            await site.stop()
        timeout_s = self._drain_timeout_s
        last_s = min(_LAST_ANSWERS_S, timeout_s * _LAST_ANSWERS_SHARE)
        timer = asyncio.get_running_loop().call_later(timeout_s - last_s, self._stop_waiting)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._connections.all_closed()
                # A request is finished also when its sender has disconnected.
                while self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        timer.cancel()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        connection = request.protocol
        assert isinstance(connection, HttpConnection)
        self._connections.request_started(connection)
        accepted = False
        try:
            result = await self._handle(request)
            accepted = not isinstance(result, Rejection)
        finally:
            self._connections.request_finished(connection, accepted=accepted)
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        is_last = connection.is_last(is_draining=self._draining)
        if isinstance(result, AcceptedWebhook):
            body = b'{"success":true,"jobId":"%s"}' % str(result.envelope.job_id).encode()
            if request.keep_alive and not is_last and request.version == HttpVersion11:
                return _WrittenResponse(body)
            response = web.Response(body=body, content_type="application/json", headers=[SERVER])
        elif isinstance(result, Answer):
            headers = [("Content-Type", result.content_type), ("Cache-Control", "no-store"), SERVER]
            response = web.Response(status=result.status, body=result.body, headers=headers)
        else:
            response = self._reject(result, connection, is_whole=request.content.is_eof())
        if is_last:
            response.force_close()
        return response

    def _reject(
        self, rejection: Rejection, connection: HttpConnection, *, is_whole: bool
    ) -> web.Response:
        if not is_whole and not self._connections.may_linger(connection):
            connection.skip_lingering()
        return problem_response(rejection, close=not is_whole)


class _WrittenResponse(web.StreamResponse):
    """The usual response, which keeps the connection open, as aiohttp would write it.

    aiohttp builds headers and a writer for each response; this is one write of a prepared text.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._text = b"%sContent-Length: %d\r\n\r\n%s" % (_head(int(time.time())), len(body), body)

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The sender has disconnected.")
        transport.write(self._text)
        # A sender that does not read its responses has to wait.
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the whole response is already written."""


@lru_cache(maxsize=1)
def _head(at_s: int) -> bytes:
    date = formatdate(at_s, usegmt=True)
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"{SERVER[0]}: {SERVER[1]}\r\nDate: {date}\r\n"
    ).encode()
