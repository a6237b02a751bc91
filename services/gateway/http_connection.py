"""One connection: aiohttp's handler of it, within our limits and with our words."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import islice

from aiohttp import StreamReader, web

from ringback.runtime.connections import LONGEST_HEAD_BYTES, Connections, CutFor
from services.gateway import refusal
from services.gateway.first_request import first_request
from services.gateway.head_limits import (
    MAX_HEADERS,
    InvalidHead,
    is_too_large,
    large_head,
    request_parser,
    size_of,
)
from services.gateway.http_problem import problem, raw_problem
from services.gateway.refusal import Refusal

_Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LINGER_S = 2.0
"""How long what is left of a refused body is read and thrown away, so that the sender, which may
still be sending, gets to see the answer."""

_FAR_AWAY_S = 86_400.0
"""`Connections` says how long a connection may wait; aiohttp is not to."""

_LAST_CHUNK = b"\r\n0\r\n\r\n"
"""How a chunked body ends that has no trailers."""

_SAID: Mapping[CutFor, Refusal] = {
    CutFor.SLOW: refusal.HEAD_TOO_SLOW,
    CutFor.CROWDED: refusal.BUSY,
}


class HttpConnection(web.RequestHandler):
    """Tells `Connections` what it does. aiohttp's own answers are problems like all others."""

    __slots__ = (
        "_body",
        "_end_of_chunks",
        "_gone",
        "_is_chunked",
        "_limits",
        "_reads_no_more",
        "_says_no_more",
    )

    def __init__(self, server: web.Server, limits: Connections, **options: object) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=logging.getLogger("ringback.http"),
            keepalive_timeout=_FAR_AWAY_S,
            lingering_time=_LINGER_S,
            max_line_size=LONGEST_HEAD_BYTES,
            max_field_size=LONGEST_HEAD_BYTES,
            max_headers=MAX_HEADERS,
            # Whoever does not show the secret has nothing unpacked.
            auto_decompress=False,
            **options,  # type: ignore[arg-type]  # handed through as they came
        )
        self._limits = limits
        self._body: StreamReader | None = None
        self._is_chunked = False
        self._end_of_chunks = b""
        self._says_no_more = False
        self._reads_no_more = False
        self._gone: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._task_handler is not None
        self._task_handler.add_done_callback(self._ended)
        self._limits.opened(self)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Of some heads aiohttp makes no request (`CONNECT` without a host): nothing would come."""
        if task.cancelled() or task.exception() is None or self.transport is None:
            return
        self.transport.write(raw_problem(refusal.BAD_HTTP))
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limits.closed(self)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reads_no_more:
            return
        before, body = self._request_count, self._body
        is_of_body = body is not None and not body.is_eof()
        chunks = body if is_of_body and self._is_chunked else None
        begins_here = not is_of_body and not self._limits.has_begun(self)
        super().data_received(data)
        if begins_here and self._messages:
            self._parse_first(data)
        added = self._request_count - before
        if added:
            self._heads_received(data, added)
        elif data and not is_of_body:
            self._limits.head_grows(self, len(data))
        if self._is_chunked and not self._reads_no_more:
            self._chunks_received(data, added, chunks)

    def _parse_first(self, data: bytes) -> None:
        """Take a good request out of bytes that were refused for what follows or is there twice."""
        message = self._messages[-1][0]
        is_invalid = isinstance(message, InvalidHead) and not is_too_large(message.exc)
        first = first_request(data) if is_invalid else None
        if first is None:
            return
        self._messages.pop()
        self._request_count -= 1
        self._parser = request_parser(self, self._loop, self._read_bufsize)
        super().data_received(first[0])
        self._reads_no_more = first[1]

    def _heads_received(self, data: bytes, added: int) -> None:
        # A head that came in pieces, or within much else, was not measured before.
        if len(data) > LONGEST_HEAD_BYTES or not data or self._limits.has_begun(self):
            self._refuse_large_heads(added)
        self._limits.begins(self)
        if not self._messages:
            return
        message, payload = self._messages[-1]
        if isinstance(message, InvalidHead):
            self._reads_no_more = True
            if self._body is not None and not self._body.is_eof():
                self._body.set_exception(web.RequestPayloadError())
        elif added == 1:
            self._is_chunked = self._is_chunked or message.chunked
        else:
            self._is_chunked = True  # Or it may be: `_chunks_received` looks closer.
        self._body = payload

    def _refuse_large_heads(self, added: int) -> None:
        first = max(0, len(self._messages) - added)
        for place, (message, _) in enumerate(islice(self._messages, first, None), first):
            if not isinstance(message, InvalidHead) and size_of(message) > LONGEST_HEAD_BYTES:
                self._messages = deque([*islice(self._messages, place), large_head()])
                return

    def _chunks_received(self, data: bytes, added: int, continued: StreamReader | None) -> None:
        """Let nothing follow a chunked body that may have had trailers.

        aiohttp's parser would take the last trailer for a header of the next request. `continued`
        is the body that was being received when `data` came.
        """
        self._end_of_chunks = (self._end_of_chunks + data)[-len(_LAST_CHUNK) :]
        first = len(self._messages) - added
        bodies = [] if continued is None else [(first, continued)]
        bodies += [
            (place, payload)
            for place, (message, payload) in enumerate(
                islice(self._messages, first, None), first + 1
            )
            if not isinstance(message, InvalidHead) and message.chunked
        ]
        ended = [place for place, body in bodies if body.is_eof()]
        self._is_chunked = len(ended) < len(bodies)
        if not ended:
            return
        if ended[0] < len(self._messages) or self._end_of_chunks != _LAST_CHUNK:
            self._messages = deque(islice(self._messages, ended[0]))
            self._reads_no_more = True

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it, not aiohttp
        """Whoever has said all that he has to say still gets his answers."""
        if self._gone is not None:
            return False
        is_whole = self._body is not None and self._body.is_eof()
        self._says_no_more = is_whole and (bool(self._messages) or self._limits.has_in_hand(self))
        return self._says_no_more

    def is_last(self, *, is_draining: bool) -> bool:
        """Whether no other request will follow the one in hand."""
        ends = is_draining or self._says_no_more or self._reads_no_more
        return ends and not self._messages

    def cut(self, why: CutFor) -> None:
        """Whoever has begun a request is told why, if he reads; whoever has not, is not."""
        transport = self.transport
        if transport is None:
            return
        if why is CutFor.LARGE_HEAD:
            self._reads_no_more = True
            self._messages.append(large_head())
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            return
        if not self._limits.has_begun(self) or transport.get_write_buffer_size():
            transport.abort()
            return
        transport.write(raw_problem(_SAID[why]))
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
        del request, status, message  # They may hold what the sender sent.
        # Its answer is the last; who does not read it is not waited for.
        self._limits.ends(self, accepted=False)
        if not is_too_large(exc):
            return problem(refusal.BAD_HTTP, close=True)
        self._limits.count_cut(CutFor.LARGE_HEAD)
        return problem(refusal.HEAD_TOO_LARGE, close=True)

    def _make_error_handler(self, err_info: InvalidHead) -> _Answer:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = self.handle_error(request, err_info.status, err_info.exc)
            if not self._says_no_more and self._limits.may_linger(self):
                await response.prepare(request)
                await response.write_eof()
                await self._linger()
            return response

        return answer

    async def _linger(self) -> None:
        """Throw away what is still being sent: closed at once, it would reset the answer."""
        if self.transport is None:
            return
        self.transport.write_eof()
        self._gone = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._gone
