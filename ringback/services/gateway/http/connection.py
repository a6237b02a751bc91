"""One connection: aiohttp's protocol handler with limits and problem responses."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import islice

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, _ErrInfo  # ruff: ignore[import-private-name]

from ringback.runtime.http.connection_limits import (
    MAX_HEAD_BYTES,
    NO_IDLE_TIMEOUT_S,
    CloseReason,
    ConnectionLimits,
)
from ringback.services.gateway.http import rejection
from ringback.services.gateway.http.rejection import Rejection, problem_response, raw_response

InvalidRequest = _ErrInfo
"""aiohttp queues this in place of an invalid request, so that responses keep their order."""

MAX_HEADERS = 200

_TOO_MANY_HEADERS = "Too many headers received"


def head_size(message: RawRequestMessage) -> int:
    fields = sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)
    return len(f"{message.method} {message.path} HTTP/1.1\r\n\r\n") + fields


def oversized_head() -> tuple[InvalidRequest, StreamReader]:
    too_long = LineTooLong(b"", MAX_HEAD_BYTES)
    return InvalidRequest(status=too_long.code, exc=too_long, message=""), EMPTY_PAYLOAD


def is_too_large(error: BaseException | None) -> bool:
    return isinstance(error, LineTooLong) or (
        isinstance(error, BadHttpMessage) and error.message == _TOO_MANY_HEADERS
    )


def request_parser(
    connection: web.RequestHandler, loop: asyncio.AbstractEventLoop, buffer_bytes: int
) -> HttpRequestParser:
    """Create a parser as aiohttp does. After an error a parser rejects all further input."""
    return HttpRequestParser(
        connection,
        loop,
        buffer_bytes,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEADERS,
        payload_exception=web.RequestPayloadError,
        auto_decompress=False,
        max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
    )


_HARMLESS = frozenset(
    {
        *(b"content-type", b"user-agent", b"server", b"etag"),
        *(b"content-location", b"content-range", b"max-forwards"),
    }
)
"""Headers that the parser allows once, and that do not affect where a request ends."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*(?:\r\n|\Z)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)


def extract_first_request(data: bytes) -> tuple[bytes, bool] | None:
    """The first request in `data` without duplicate harmless headers, and whether more follows it.

    aiohttp's parser rejects such data as a whole. A request that is invalid in other ways stays
    invalid. None if there is nothing to remove.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    names: set[bytes] = set()
    lines = []
    for line in head.split(b"\r\n"):
        name = line.partition(b":")[0].lower()
        if name not in names or name not in _HARMLESS:
            lines.append(line)
        names.add(name)
    length = _LENGTH.search(head)
    body = rest
    if _CHUNKED.search(head) is None:
        body = rest[: int(length[1])] if length else b""
    found = b"\r\n".join(lines) + end + body
    return None if found == data else (found, len(body) < len(rest))


_Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_LINGER_S = 2.0
"""How long to read and discard the rest of a rejected body, so that a sender that is still sending
sees the response."""

_LAST_CHUNK = b"\r\n0\r\n\r\n"
"""The end of a chunked body without trailers."""

_REJECTIONS: Mapping[CloseReason, Rejection] = {
    CloseReason.SLOW: rejection.HEAD_TOO_SLOW,
    CloseReason.EVICTED: rejection.BUSY,
}


class HttpConnection(web.RequestHandler):
    """Reports to `ConnectionLimits`, and turns aiohttp's own errors into problem responses."""

    __slots__ = (
        "_body",
        "_end_of_chunks",
        "_gone",
        "_ignores_input",
        "_is_chunked",
        "_is_half_closed",
        "_limits",
    )

    def __init__(self, server: web.Server, limits: ConnectionLimits, **options: object) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=logging.getLogger("ringback.http"),
            keepalive_timeout=NO_IDLE_TIMEOUT_S,
            lingering_time=_LINGER_S,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADERS,
            # Nothing is decompressed before the secret was checked.
            auto_decompress=False,
            **options,  # type: ignore[arg-type]  # passed on unchanged
        )
        self._limits = limits
        self._body: StreamReader | None = None
        self._is_chunked = False
        self._end_of_chunks = b""
        self._is_half_closed = False
        self._ignores_input = False
        self._gone: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._task_handler is not None
        self._task_handler.add_done_callback(self._ended)
        self._limits.opened(self)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Respond if aiohttp fails without a response, such as for `CONNECT` without a host."""
        if task.cancelled() or task.exception() is None or self.transport is None:
            return
        self.transport.write(raw_response(rejection.BAD_HTTP))
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limits.closed(self)
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        before, body = self._request_count, self._body
        continues_body = body is not None and not body.is_eof()
        chunks = body if continues_body and self._is_chunked else None
        begins_head = not continues_body and not self._limits.has_partial_head(self)
        super().data_received(data)
        if begins_head and self._messages:
            self._parse_first(data)
        added = self._request_count - before
        if added:
            self._heads_received(data, added)
        elif data and not continues_body:
            self._limits.received_partial_head(self, len(data))
        if self._is_chunked and not self._ignores_input:
            self._chunks_received(data, added, chunks)

    def resume_reading(self, resume_parser: bool = True) -> None:  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]  # aiohttp's signature
        # aiohttp calls this after each read of a body, and would parse again.
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _parse_first(self, data: bytes) -> None:
        """Extract a valid request that was rejected for duplicate headers or what follows it."""
        message = self._messages[-1][0]
        is_invalid = isinstance(message, InvalidRequest) and not is_too_large(message.exc)
        first = extract_first_request(data) if is_invalid else None
        if first is None:
            return
        self._messages.pop()
        self._request_count -= 1
        self._parser = request_parser(self, self._loop, self._read_bufsize)
        super().data_received(first[0])
        self._ignores_input = first[1]

    def _heads_received(self, data: bytes, added: int) -> None:
        # A head that arrived in pieces, or with much other data, was not measured before.
        if len(data) > MAX_HEAD_BYTES or not data or self._limits.has_partial_head(self):
            self._reject_large_heads(added)
        self._limits.request_started(self)
        if not self._messages:
            return
        message, payload = self._messages[-1]
        if isinstance(message, InvalidRequest):
            self._ignores_input = True
            if self._body is not None and not self._body.is_eof():
                self._body.set_exception(web.RequestPayloadError())
        elif added == 1:
            self._is_chunked = self._is_chunked or message.chunked
        else:
            self._is_chunked = True  # It may be; `_chunks_received` checks.
        self._body = payload

    def _reject_large_heads(self, added: int) -> None:
        first = max(0, len(self._messages) - added)
        for index, (message, _) in enumerate(islice(self._messages, first, None), first):
            if not isinstance(message, InvalidRequest) and head_size(message) > MAX_HEAD_BYTES:
                self._messages = deque([*islice(self._messages, index), oversized_head()])
                return

    def _chunks_received(self, data: bytes, added: int, continued: StreamReader | None) -> None:
        """Ignore everything after a chunked body that may have had trailers.

        aiohttp's parser would read the last trailer as a header of the next request. `continued` is
        the body that was being received when `data` arrived.
        """
        self._end_of_chunks = (self._end_of_chunks + data)[-len(_LAST_CHUNK) :]
        first = len(self._messages) - added
        bodies = [] if continued is None else [(first, continued)]
        bodies += [
            (index, payload)
            for index, (message, payload) in enumerate(
                islice(self._messages, first, None), first + 1
            )
            if not isinstance(message, InvalidRequest) and message.chunked
        ]
        ended = [index for index, body in bodies if body.is_eof()]
        self._is_chunked = len(ended) < len(bodies)
        if not ended:
            return
        if ended[0] < len(self._messages) or self._end_of_chunks != _LAST_CHUNK:
            self._messages = deque(islice(self._messages, ended[0]))
            self._ignores_input = True

    def eof_received(self) -> bool:  # type: ignore[override]  # the signature of asyncio, not of aiohttp
        """Keep a half-closed connection open until it has its responses."""
        if self._gone is not None:
            return False
        is_whole = self._body is not None and self._body.is_eof()
        self._is_half_closed = is_whole and (
            bool(self._messages) or self._limits.has_request_in_flight(self)
        )
        return self._is_half_closed

    def is_last(self, *, is_draining: bool) -> bool:
        """Whether the current request is the last one."""
        ends = is_draining or self._is_half_closed or self._ignores_input
        return ends and not self._messages

    def close_for(self, reason: CloseReason) -> None:
        """Close; a sender that has begun a request gets a problem response first."""
        transport = self.transport
        if transport is None:
            return
        if reason is CloseReason.LARGE_HEAD:
            self._ignores_input = True
            self._messages.append(oversized_head())
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            return
        if not self._limits.has_partial_head(self) or transport.get_write_buffer_size():
            transport.abort()
            return
        transport.write(raw_response(_REJECTIONS[reason]))
        self.force_close()

    def skip_lingering(self) -> None:
        """Close right after the response, even if the sender is still sending."""
        self._lingering_time = 0.0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, status, message  # They may contain what the sender sent.
        # This is the last response; do not wait for a sender that does not read it.
        self._limits.request_finished(self, accepted=False)
        if not is_too_large(exc):
            return problem_response(rejection.BAD_HTTP, close=True)
        self._limits.count_closed(CloseReason.LARGE_HEAD)
        return problem_response(rejection.HEAD_TOO_LARGE, close=True)

    def _make_error_handler(self, err_info: InvalidRequest) -> _Answer:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            response = self.handle_error(request, err_info.status, err_info.exc)
            if not self._is_half_closed and self._limits.may_linger(self):
                await response.prepare(request)
                await response.write_eof()
                await self._linger()
            return response

        return answer

    async def _linger(self) -> None:
        """Discard what is still being sent: closing at once could reset the response."""
        if self.transport is None:
            return
        self.transport.write_eof()
        self._gone = self._loop.create_future()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await self._gone
