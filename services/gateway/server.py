"""HTTP: a socket, requests to the intake, and its answers as responses."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from ringback.runtime.connections import Connections
from ringback.runtime.lifecycle import CannotStartError
from ringback.runtime.listening import listen
from services.gateway.http_connection import HttpConnection
from services.gateway.http_problem import SERVER, problem
from services.gateway.refusal import Refusal
from services.gateway.seal import Sealed

Take = Callable[[web.BaseRequest], Awaitable[Sealed | Refusal]]

_SWEEP_S = 1.0
_CUT_S = 0.5
"""How long a request that outlived the draining has to end after it was cut."""


class _HttpServer(web.Server):
    """Makes each connection one of ours.

    aiohttp's low-level server: with two paths there is nothing to route, and an announced size can
    be refused before the sender is told to go on.
    """

    def __init__(
        self, answer: Callable[[web.BaseRequest], Awaitable[web.Response]], limits: Connections
    ) -> None:
        super().__init__(answer, access_log=None)
        self._limits = limits

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, self._limits, **self._kwargs)


class Server:
    """Listens while it is entered.

    Leaving stops listening and finishes the requests in hand. Connections stay open until each has
    been answered once more, with `Connection: close`, or until the drain timeout: a sender that
    sends on a connection which is just being closed does not learn what became of its webhook.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        take: Take,
        connections: Connections,
        drain_timeout_s: float,
    ) -> None:
        self._address = (host, port)
        self._take = take
        self._drain_timeout_s = drain_timeout_s
        self._connections = connections
        self._runner: web.ServerRunner | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._in_hand = 0
        self._none_in_hand = asyncio.Event()
        self._draining = False

    @property
    def port(self) -> int:
        """The port that is really listened on; asked for 0 it is a free one."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        server = _HttpServer(self._answer, self._connections)
        runner = web.ServerRunner(server, shutdown_timeout=_CUT_S)
        await runner.setup()
        try:
            for listening in listen(*self._address, setting="RINGBACK_GATEWAY_PORT"):
                await web.SockSite(runner, listening, backlog=1024).start()
        except CannotStartError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._sweep = asyncio.create_task(self._keep_sweeping())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Bodies are no longer read once aiohttp has begun to clean up, so that comes last.
        assert self._runner is not None
        assert self._sweep is not None
        self._draining = True
        for site in self._runner.sites:
            await site.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout_s):
                await self._connections.all_closed()
                # One whose sender has gone is finished, too.
                while self._in_hand:
                    self._none_in_hand.clear()
                    await self._none_in_hand.wait()
        self._sweep.cancel()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self._in_hand += 1
        connection = request.protocol
        assert isinstance(connection, HttpConnection)
        self._connections.begins(connection)
        accepted = False
        try:
            answer = await self._take(request)
            accepted = isinstance(answer, Sealed)
        finally:
            self._connections.ends(connection, accepted=accepted)
            self._in_hand -= 1
            if not self._in_hand:
                self._none_in_hand.set()
        if isinstance(answer, Refusal):
            response = self._refused(answer, connection, is_whole=request.content.is_eof())
        else:
            response = _accepted(answer)
        if connection.is_last(is_draining=self._draining):
            response.force_close()
        return response

    def _refused(
        self, answer: Refusal, connection: HttpConnection, *, is_whole: bool
    ) -> web.Response:
        if not is_whole and not self._connections.may_linger(connection):
            connection.do_not_linger()
        return problem(answer, close=not is_whole)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._connections.cut_slow()


def _accepted(sealed: Sealed) -> web.Response:
    return web.Response(
        body=b'{"success":true,"jobId":"%s"}' % str(sealed.envelope.job_id).encode(),
        content_type="application/json",
        headers=[SERVER],
    )
