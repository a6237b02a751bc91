"""One connection: aiohttp's handler of it, within our limits and with our words."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import StreamReader, web

from services.gateway import refusal
from services.gateway.connections import Connections, CutFor
from services.gateway.refusal import CONTENT_TYPE, Refusal

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LINGER_S = 2.0
"""How long what is left of a refused body is read and thrown away, so that the sender, which may
still be sending, gets to see the answer."""

SERVER = ("Server", "ringback")
"""Without it aiohttp would tell its version, and Python's."""

_FAR_AWAY_S = 86_400.0
"""`Connections` says how long a connection may wait; aiohttp is not to."""

_SAID: Mapping[CutFor, Refusal] = {
    CutFor.SLOW: refusal.HEAD_TOO_SLOW,
    CutFor.LARGE_HEAD: refusal.HEAD_TOO_LARGE,
    CutFor.CROWDED: refusal.BUSY,
}


class HttpServer(web.Server):
    """Makes each connection one of ours.

    aiohttp's low-level server: with two paths there is nothing to route, and an announced size can
    be refused before the sender is told to go on.
    """

    def __init__(self, answer: Answer, connections: Connections) -> None:
        super().__init__(
            answer,
            access_log=None,
            logger=logging.getLogger("ringback.http"),
            keepalive_timeout=_FAR_AWAY_S,
            lingering_time=_LINGER_S,
            # Whoever does not show the secret has nothing unpacked.
            auto_decompress=False,
        )
        self.limits = connections

    def __call__(self) -> web.RequestHandler:
        return HttpConnection(self, loop=asyncio.get_running_loop(), **self._kwargs)


class HttpConnection(web.RequestHandler):
    """Tells `Connections` what it does. aiohttp's own answers are problems like all others."""

    __slots__ = ("_body", "_limits", "_says_no_more")

    def __init__(self, server: HttpServer, **options: object) -> None:
        super().__init__(server, **options)  # type: ignore[arg-type]  # handed through as they came
        self._limits = server.limits
        self._body: StreamReader | None = None
        self._says_no_more = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._task_handler is not None
        self._task_handler.add_done_callback(self._ended)
        self._limits.opened(self)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Of some heads aiohttp makes no request (`CONNECT` without a host): nothing would come."""
        if task.cancelled() or task.exception() is None or self.transport is None:
            return
        self.transport.write(_raw(refusal.BAD_HTTP))
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limits.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        is_of_body = self._body is not None and not self._body.is_eof()
        super().data_received(data)
        if self._request_count != before:
            self._limits.begins(self)
            if self._messages:
                self._body = self._messages[-1][1]
        elif data and not is_of_body:
            self._limits.head_grows(self, len(data))

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it, not aiohttp
        """Whoever has said all that he has to say still gets his answers."""
        is_whole = self._body is not None and self._body.is_eof()
        self._says_no_more = is_whole and (bool(self._messages) or self._limits.has_in_hand(self))
        return self._says_no_more

    @property
    def is_last(self) -> bool:
        """Whether no other request will follow the one in hand."""
        return self._says_no_more and not self._messages

    def cut(self, why: CutFor) -> None:
        """Whoever has begun a request is told why, if he reads; whoever has not, is not."""
        transport = self.transport
        if transport is None:
            return
        if not self._limits.has_begun(self) or transport.get_write_buffer_size():
            transport.abort()
            return
        transport.write(_raw(_SAID[why]))
        self.force_close()

    def do_not_linger(self) -> None:
        """Close after the answer, whatever is still being sent."""
        self._lingering_time = 0.0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, status, exc, message  # They may hold what the sender sent.
        # Its answer is the last; who does not read it is not waited for.
        self._limits.ends(self, accepted=False)
        return problem(refusal.BAD_HTTP, close=True)


def problem(refused: Refusal, *, close: bool) -> web.Response:
    response = web.Response(
        status=refused.status,
        body=refused.body(),
        headers=[*refused.headers, ("Content-Type", CONTENT_TYPE), SERVER],
    )
    if close:
        response.force_close()
    return response


def _raw(refused: Refusal) -> bytes:
    """The same, for a connection on which no request has come."""
    body = refused.body()
    headers = [
        *refused.headers,
        ("Content-Type", CONTENT_TYPE),
        SERVER,
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    lines = [f"HTTP/1.1 {refused.status.value} {refused.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
