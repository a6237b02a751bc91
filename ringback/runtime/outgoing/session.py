"""An aiohttp session of a destination: each request is a call with its limits, and is traced."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from types import TracebackType
from typing import Protocol

import aiohttp
from opentelemetry import trace

from ringback.contract.telemetry.spans import Attribute, Span
from ringback.runtime.observability.tracing import Shape, Tracer, ending, shape_of, trace_context
from ringback.runtime.outgoing.addresses import AllowedAddresses, parse_networks
from ringback.runtime.outgoing.breaker import Outcome
from ringback.runtime.outgoing.client import (
    CONNECT_TIMEOUT_S,
    SESSION_LIMITS,
    AddressNotAllowedError,
    Failure,
    failure_of,
    guarded_connector,
    read_bounded,
)
from ringback.runtime.outgoing.outcome import outcome_of_status

_SWITCHING_PROTOCOLS = 101


class AnswerError(aiohttp.ClientError):
    """A destination answered that it failed. Unlike aiohttp's error, it contains no URL."""

    def __init__(self, destination: str, status: int) -> None:
        super().__init__(f"{destination} answered {status}")
        self.status = status


class Callee(Protocol):
    """The destination of a session; a call while entered."""

    @property
    def name(self) -> str:
        """For spans."""

    def error_of_call(self, error: BaseException) -> BaseException:
        """What to raise for a call that failed."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def answered(self, status: int) -> None:
        """Count the status of the answer to the call in this task."""


def connector_of(scheme: str, allow_networks: str) -> aiohttp.TCPConnector:
    """The connections of a destination. Plain http is only for the allowed networks."""
    allowed = AllowedAddresses(parse_networks(allow_networks), scheme == "https")
    return guarded_connector(allowed)


def guarded_session(
    destination: Callee,
    connector: aiohttp.TCPConnector,
    *,
    scheme: str,
    base_url: str | None,
    max_answer_bytes: int,
    check: Callable[[aiohttp.ClientResponse], Awaitable[None]],
) -> aiohttp.ClientSession:
    """A session with the destination's connections; closing it keeps them open.

    Each request reads the whole answer, so that its limits cover the body too. `check` may raise
    for an answer, and one that counts as a failure raises AnswerError, unless the request says
    `raise_for_status=False`.
    """

    async def checked(answer: aiohttp.ClientResponse) -> None:
        await check(answer)
        # A handler that does not look at the status must not complete its webhook.
        if outcome_of_status(answer.status) is Outcome.FAILED:
            raise destination.error_of_call(AnswerError(destination.name, answer.status))

    guard = _Guard(destination, scheme=scheme, max_answer_bytes=max_answer_bytes)
    return aiohttp.ClientSession(
        base_url,
        connector=connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        raise_for_status=checked,
        middlewares=(guard.send,),
        **SESSION_LIMITS,
    )


class _Guard:
    def __init__(self, destination: Callee, *, scheme: str, max_answer_bytes: int) -> None:
        self._destination = destination
        self._scheme = scheme
        self._max_answer_bytes = max_answer_bytes
        self._tracer = Tracer(trace.get_tracer_provider())

    async def send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request as a call of the destination. A followed redirect is another call."""
        if request.url.scheme != self._scheme:
            raise aiohttp.InvalidUrlClientError(
                request.url.origin(),
                f"{self._destination.name} is called by {self._scheme}, as its base_url says",
            )
        shape = _shape(self._destination.name, request.method)
        with ending(self._tracer.child(trace.get_current_span(), shape)) as span:
            if span.get_span_context().is_valid:
                request.headers.setdefault("traceparent", trace_context(span).traceparent)
            async with self._destination:
                response = await self._answer(request, handler)
                if response.status != _SWITCHING_PROTOCOLS:
                    await self._read(response)
                self._destination.answered(response.status)
            if span.is_recording():
                span.set_attribute(Attribute.HTTP_STATUS, response.status)
        return response

    async def _answer(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientConnectionError as exc:
            if failure_of(exc) is Failure.ADDRESS_NOT_ALLOWED:
                # It says nothing about the destination, and aiohttp's text does not say this.
                raise AddressNotAllowedError from None
            raise

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        """Read the body. aiohttp has no limit for it; what reads it later gets these bytes."""
        try:
            response._body = await read_bounded(  # ruff: ignore[private-member-access]
                response.content, self._max_answer_bytes
            )
        except BaseException:
            response.close()
            raise


@lru_cache(maxsize=256)
def _shape(destination: str, method: str) -> Shape:
    return shape_of(
        Span.CALL_DESTINATION,
        {Attribute.HTTP_METHOD: method, Attribute.CALLED_DESTINATION: destination},
    )
