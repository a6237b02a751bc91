"""HTTP: a socket, requests to the intake, and its answers as responses."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web

from ringback.runtime.lifecycle import CannotStartError
from services.gateway.refusal import BAD_HTTP, CONTENT_TYPE, Refusal
from services.gateway.seal import Sealed

Take = Callable[[web.BaseRequest], Awaitable[Sealed | Refusal]]

_KEEP_ALIVE_S = 75.0
_CUT_S = 0.5
"""How long a request that outlived the draining has to end after it was cut."""

_LINGER_S = 2.0
"""How long what is left of a refused body is read and thrown away, so that the sender, which may
still be sending, gets to see the answer."""


class Server:
    """Listens while it is entered. Leaving stops listening and finishes the requests in hand.

    aiohttp's low-level server: with two paths there is nothing to route, and an announced size can
    be refused before the sender is told to go on.
    """

    def __init__(self, *, host: str, port: int, take: Take, drain_timeout_s: float) -> None:
        self._address = (host, port)
        self._take = take
        self._drain_timeout_s = drain_timeout_s
        self._runner: web.ServerRunner | None = None
        self._in_hand = 0
        self._none_in_hand = asyncio.Event()
        self._draining = False

    @property
    def port(self) -> int:
        """The port that is really listened on; asked for 0 it is a free one."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        server = _ProblemServer(
            self._answer,
            access_log=None,
            logger=logging.getLogger("ringback.http"),
            keepalive_timeout=_KEEP_ALIVE_S,
            lingering_time=_LINGER_S,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_CUT_S)
        await runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except OSError as exc:
            await runner.cleanup()
            raise CannotStartError(
                f"Port {port} on {host} (RINGBACK_GATEWAY_PORT) cannot be used: {_why(exc)}."
            ) from exc
        self._runner = runner
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Bodies are no longer read once aiohttp has begun to clean up, so that comes last.
        assert self._runner is not None
        self._draining = True
        for site in self._runner.sites:
            await site.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_timeout_s):
                while self._in_hand:
                    self._none_in_hand.clear()
                    await self._none_in_hand.wait()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        self._in_hand += 1
        try:
            answer = await self._take(request)
        finally:
            self._in_hand -= 1
            if not self._in_hand:
                self._none_in_hand.set()
        if isinstance(answer, Refusal):
            response = _problem(answer, close=not request.content.is_eof())
        else:
            response = _accepted(answer)
        if self._draining:
            response.force_close()
        return response


def _why(error: OSError) -> str:
    """The system's own words; asyncio puts the address in front of them once more."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _accepted(sealed: Sealed) -> web.Response:
    return web.Response(
        body=b'{"success":true,"jobId":"%s"}' % str(sealed.envelope.job_id).encode(),
        content_type="application/json",
    )


def _problem(refusal: Refusal, *, close: bool) -> web.Response:
    response = web.Response(
        status=refusal.status,
        body=refusal.body(),
        headers=[*refusal.headers, ("Content-Type", CONTENT_TYPE)],
    )
    if close:
        response.force_close()
    return response


class _ProblemServer(web.Server):
    """Makes also aiohttp's own answers, those to what is not HTTP, problems like all others."""

    def __call__(self) -> web.RequestHandler:
        return _ProblemHandler(self, loop=asyncio.get_running_loop(), **self._kwargs)


class _ProblemHandler(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, status, exc, message  # They may hold what the sender sent.
        return _problem(BAD_HTTP, close=True)
