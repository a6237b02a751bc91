"""The REST server. It reads requests and writes responses; the dispatcher runs the calls."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from math import isfinite
from typing import Any

import orjson
from aiohttp import ClientError, hdrs, web
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from opentelemetry.trace import Span

from ringback.metrics.json_document import json_bytes
from ringback.runtime.http.bounded_server import BoundedHandler, bounded_server, send_continue
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import listen
from ringback.runtime.observability.tracing import ending
from ringback.services.metrics.console.binding import ConsoleBinding
from ringback.services.metrics.transport.call import Peer, Transport
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.documents import Document, documents
from ringback.services.metrics.transport.errors import ApiError, Violation, internal, invalid
from ringback.services.metrics.transport.problem import (
    BAD_HTTP,
    BODY_TOO_LARGE,
    BROKEN_BODY,
    CONTENT_TYPE,
    NO_SUCH_PATH,
    TOO_MANY_CALLS,
    WRONG_CONTENT_TYPE,
    headers_of,
    problem,
    status_of,
    wrong_verb,
)
from ringback.services.metrics.transport.rest_routes import (
    Found,
    NoSuchPath,
    RestRoutes,
    Route,
    WrongVerb,
)
from ringback.services.metrics.transport.spans import CallSpans, record_status
from ringback.services.metrics.transport.transcoding import read_body, read_path, read_query

TIMEOUT_HEADER = "X-Request-Timeout"
MAX_CALLS = 500
"""Concurrent calls, including streams; as many as by gRPC."""

_LINES = "application/x-ndjson"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # By default aiohttp reveals its version.
    "Server": "ringback",
}
_READER_TIMEOUT_S = 30.0
"""A caller that reads nothing from its stream for this long is disconnected."""

_DIGITS = 20


class RestBinding:
    """Answers requests.

    Raises CannotStartError for a method whose HTTP rule is unsupported.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        spans: CallSpans,
        *,
        max_calls: int = MAX_CALLS,
        console: ConsoleBinding | None = None,
    ) -> None:
        self._console = console
        self._dispatcher = dispatcher
        self._spans = spans
        self._routes = RestRoutes(dispatcher.methods)
        self._documents = documents()
        self._max_calls = max_calls
        self._in_flight = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return a response in every case; raises CancelledError when the caller disconnects."""
        raw_path = request.rel_url.raw_path
        found = self._routes.find(request.method, raw_path)
        route = found if isinstance(found, Route) else None
        template = route.rule.template if route else None
        if raw_path in self._documents:
            template = raw_path
        console = self._console if self._console and self._console.serves(raw_path) else None
        if console:
            template = console.template_of(raw_path)
        self._in_flight += 1
        method = route.method if route else None
        with ending(self._spans.by_rest(request, template, method)) as span:
            try:
                response = await self._answer(request, found, span, console)
                record_status(span, response.status, None)
            except ApiError as error:
                response = error_response(error)
                record_status(span, response.status, error)
            except asyncio.CancelledError:
                # A caller may disconnect, and most streams end this way.
                span.end()
                raise
            finally:
                self._in_flight -= 1
            return response

    async def _answer(
        self, request: web.BaseRequest, found: Found, span: Span, console: ConsoleBinding | None
    ) -> web.StreamResponse:
        if self._in_flight > self._max_calls:
            raise TOO_MANY_CALLS
        if console:
            return await console.answer(request, _peer(request, Transport.CONSOLE), span)
        document = self._documents.get(request.rel_url.raw_path)
        if document is not None:
            return _document_response(request, document)
        match found:
            case Route() as route if route.method.is_server_streaming:
                return await self._stream(request, route, span)
            case Route() as route:
                return await self._unary(request, route, span)
            case WrongVerb(allowed):
                raise wrong_verb(allowed)
            case NoSuchPath():
                raise NO_SUCH_PATH

    async def _unary(self, request: web.BaseRequest, route: Route, span: Span) -> web.Response:
        answer = await self._dispatcher.unary(
            route.method, _reader(request, route), **_caller_of(request), span=span
        )
        return _json(json_bytes(answer))

    async def _stream(
        self, request: web.BaseRequest, route: Route, span: Span
    ) -> web.StreamResponse:
        """Send each answer as a line. After the first, an error is a last line `{"error": ...}`."""
        answers = self._dispatcher.stream(
            route.method, _reader(request, route), **_caller_of(request), span=span
        )
        async with aclosing(answers):
            # An error before this response begins can still set its status.
            first = await anext(answers, None)
            response = web.StreamResponse(headers={**_HEADERS, hdrs.CONTENT_TYPE: _LINES})
            await response.prepare(request)
            try:
                async for line in _lines(first, answers):
                    async with asyncio.timeout(_READER_TIMEOUT_S):
                        await response.write(line + b"\n")
                async with asyncio.timeout(_READER_TIMEOUT_S):
                    await response.write_eof()
            except (ConnectionError, TimeoutError):
                response.force_close()
                if request.transport is not None:
                    request.transport.abort()
            return response


def _document_response(request: web.BaseRequest, document: Document) -> web.Response:
    allowed = (hdrs.METH_GET, hdrs.METH_HEAD)
    if request.method not in allowed:
        raise wrong_verb(allowed)
    headers = {**_HEADERS, **document.headers, hdrs.CONTENT_TYPE: document.content_type}
    return web.Response(body=document.body, headers=headers)


def error_response(error: ApiError) -> web.Response:
    return web.Response(
        status=status_of(error),
        body=orjson.dumps(problem(error)),
        headers={**_HEADERS, **dict(headers_of(error)), hdrs.CONTENT_TYPE: CONTENT_TYPE},
    )


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, headers={**_HEADERS, hdrs.CONTENT_TYPE: "application/json"})


async def _lines(
    first: Message | None, answers: AsyncGenerator[Message, None]
) -> AsyncGenerator[bytes, None]:
    if first is None:
        return
    yield json_bytes(first)
    try:
        async for answer in answers:
            yield json_bytes(answer)
    except ApiError as error:
        yield orjson.dumps({"error": problem(error)})


def _reader(request: web.BaseRequest, route: Route) -> Callable[[], Awaitable[Message]]:
    async def read() -> Message:
        message = route.method.request_class()
        in_path = frozenset(route.variables)
        if route.rule.has_body:
            read_query(request.query.items(), Empty())
            read_body(await _body(request), message, elsewhere=in_path)
        else:
            read_query(request.query.items(), message, elsewhere=in_path)
        read_path(route.variables, message)
        return message

    return read


async def _body(request: web.BaseRequest) -> bytes:
    await send_continue(request)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BODY_TOO_LARGE from None
    except (web.RequestPayloadError, ClientError, ConnectionError) as exc:
        raise BROKEN_BODY from exc
    if body and not _is_json(request.headers.get(hdrs.CONTENT_TYPE)):
        raise WRONG_CONTENT_TYPE
    return body


def _is_json(content_type: str | None) -> bool:
    """Whether the body may be JSON: its type is JSON or absent."""
    if content_type is None:
        return True
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _caller_of(request: web.BaseRequest) -> dict[str, Any]:
    authorizations = request.headers.getall(hdrs.AUTHORIZATION, [])
    return {
        # Two headers together form no valid token.
        "authorization": ", ".join(authorizations) or None,
        "timeout_s": _timeout_s(request.headers.get(TIMEOUT_HEADER)),
        "peer": _peer(request, Transport.REST),
    }


def _timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        timeout_s = float(text[:_DIGITS])
    except ValueError:
        timeout_s = 0.0
    if not isfinite(timeout_s) or timeout_s <= 0:
        sentence = f"The header {TIMEOUT_HEADER} must be a number of seconds greater than 0."
        raise invalid(Violation(TIMEOUT_HEADER, sentence))
    return timeout_s


def _peer(request: web.BaseRequest, transport: Transport) -> Peer:
    name = request.transport.get_extra_info("peername") if request.transport else None
    # A socket for both families names IPv4 as a part of IPv6.
    parts = [str(part) for part in name[:2]] if isinstance(name, tuple) else []
    return Peer(transport, ":".join(parts).removeprefix("::ffff:"))


_SERVER_ERROR = 500


@asynccontextmanager
async def rest_server(
    *,
    host: str,
    port: int,
    dispatcher: Dispatcher,
    spans: CallSpans,
    drain_timeout_s: float,
    connections: ConnectionLimits,
    max_calls: int = MAX_CALLS,
    console: ConsoleBinding | None = None,
) -> AsyncGenerator[None, None]:
    """Serve while entered.

    On exit it finishes the calls in flight, for `drain_timeout_s` at most: streams end when the
    dispatcher's `stopping` is set. Raises CannotStartError when it cannot bind the address.
    """
    binding = RestBinding(dispatcher, spans, max_calls=max_calls, console=console)
    async with bounded_server(
        binding.answer,
        connections,
        handler=_ProblemHandler,
        # A call ends when its caller disconnects.
        handler_cancellation=True,
    ) as server:
        # aiohttp waits this long for a call to end, and again after it has cancelled the rest.
        runner = web.ServerRunner(server, shutdown_timeout=drain_timeout_s / 2)
        await runner.setup()
        try:
            for listening in listen(host, port, setting="RINGBACK_METRICS_REST_PORT"):
                await web.SockSite(runner, listening).start()
            yield
        finally:
            await runner.cleanup()


class _ProblemHandler(BoundedHandler):
    """Answers invalid HTTP with a problem, where aiohttp would send its own error page."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, exc, message  # They may contain what the caller sent.
        answer = error_response(BAD_HTTP if status < _SERVER_ERROR else internal())
        answer.force_close()
        return answer
