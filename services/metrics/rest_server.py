"""The REST server: a socket, and the calls of the contract behind it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.resources import files

from aiohttp import web

from ringback.runtime.http.bounded_server import BoundedHandler, bounded_server
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import listen
from services.metrics.api.call_spans import CallSpans
from services.metrics.api.dispatch import Dispatcher
from services.metrics.api.errors import internal
from services.metrics.api.problem import BAD_HTTP
from services.metrics.api.rest_binding import MOST_CALLS, RestBinding, refused

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
    most_calls: int = MOST_CALLS,
) -> AsyncGenerator[None, None]:
    """Serve inside this context.

    On exit it finishes the calls in flight, for `drain_timeout_s` at most: streams end when the
    dispatcher's `stopping` is set. Raises CannotStartError when it cannot bind the address.
    """
    openapi = files("ringback.metrics.v1").joinpath("openapi.json").read_bytes()
    binding = RestBinding(dispatcher, openapi, spans, most_calls=most_calls)
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
    """Turns aiohttp's own answers, those to invalid HTTP, into problems as well."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, exc, message  # They may contain what the caller sent.
        answer = refused(BAD_HTTP if status < _SERVER_ERROR else internal())
        answer.force_close()
        return answer
