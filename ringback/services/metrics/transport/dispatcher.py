"""Authenticates, authorizes, runs and records each call, by gRPC, REST or the console."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message
from opentelemetry.trace import Span

from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.instruments import CallInstruments, CallResult
from ringback.services.metrics.transport.call import Call, Peer
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    deadline_exceeded,
    internal,
    invalid,
    permission_denied,
)
from ringback.services.metrics.transport.methods import Method
from ringback.services.metrics.transport.request_check import violations

DEFAULT_TIMEOUT_S = 10.0
MAX_TIMEOUT_S = 60.0
MAX_STREAM_S = 86_400.0
"""Also the default for streams. Longer than the longest bulk retry."""

Request = Message | Callable[[], Awaitable[Message]]
"""The request, or a function that parses it, which runs after the caller is authorized.

It raises ApiError (`invalid`) for an invalid request.
"""


class Authenticates(Protocol):
    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the caller who sent this Authorization header. Raises ApiError."""


class Dispatcher:
    """`implementations` have one method for each RPC of the contract, such as `get_delivery`.

    Raises CannotStartError when a method is not implemented.
    """

    def __init__(
        self,
        methods: tuple[Method, ...],
        implementations: Iterable[object],
        *,
        authenticator: Authenticates,
        instruments: CallInstruments,
        stopping: asyncio.Event,
    ) -> None:
        self.methods = methods
        implementations = tuple(implementations)
        self._implementations = {
            method.full_name: _implementation(implementations, method) for method in methods
        }
        self._authenticator = authenticator
        self._instruments = instruments
        self._stopping = stopping

    async def unary(
        self,
        method: Method,
        request: Request,
        *,
        authorization: str | Principal | None,
        timeout_s: float | None,
        peer: Peer,
        span: Span,
    ) -> Message:
        """Return the answer. Raises only ApiError and CancelledError.

        `authorization` is the header's value, or the caller whom the console knows already.
        `timeout_s` is how long the caller waits, None if it set no timeout. The result is recorded
        on `span`, which the caller of this method ends.
        """
        with self._recorded(method, peer, span) as result:
            deadline = _deadline(method, timeout_s)
            async with _until(deadline):
                call = await self._admit(method, authorization, deadline, result)
                message = await _checked(method, request)
                answer: Message = await self._implementations[method.full_name](message, call)
            result.answers = 1
            return answer

    async def stream(
        self,
        method: Method,
        request: Request,
        *,
        authorization: str | None,
        timeout_s: float | None,
        peer: Peer,
        span: Span,
    ) -> AsyncGenerator[Message, None]:
        """Yield the answers as they arrive. The call begins when the first one is requested.

        Raises ApiError, at the first answer (for an invalid token, for example) or at a later one.
        A caller that stops early must close the generator (`contextlib.aclosing`).
        """
        with self._recorded(method, peer, span) as result:
            deadline = _deadline(method, timeout_s)
            async with _until(deadline):
                call = await self._admit(method, authorization, deadline, result)
                message = await _checked(method, request)
            answers = self._implementations[method.full_name](message, call)
            async with aclosing(answers):
                while True:
                    async with _until(deadline):
                        answer: Message | None = await anext(answers, None)
                    if answer is None:
                        return
                    result.answers += 1
                    yield answer  # ruff: ignore[yield-in-context-manager-in-async-generator]  # the caller closes it

    async def _admit(
        self,
        method: Method,
        authorization: str | Principal | None,
        deadline: float,
        result: CallResult,
    ) -> Call:
        """Return the call of an authorized caller. Raises ApiError."""
        if isinstance(authorization, Principal):
            principal = authorization
        else:
            principal = await self._authenticator.authenticate(authorization)
        result.principal = principal
        if method.least_role is Role.SERVICE and principal.role is not Role.SERVICE:
            raise permission_denied(f"{method.name} needs a token with the role service.")
        return Call(principal, deadline, self._stopping, result.span)

    @contextmanager
    def _recorded(
        self, method: Method, peer: Peer, span: Span
    ) -> Generator[CallResult, None, None]:
        """Record how the call ended, and turn an unexpected error into INTERNAL."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        result = CallResult(method, peer, span)
        try:
            yield result
        except ApiError as exc:
            if exc.reason is Reason.INTERNAL:
                self._instruments.unexpected(method, exc)
            result.code, result.error = exc.code, exc
            raise
        except (asyncio.CancelledError, GeneratorExit):
            result.code = grpc.StatusCode.CANCELLED
            raise
        except Exception as exc:
            self._instruments.unexpected(method, exc)
            error = internal()
            error.__cause__ = exc
            result.code, result.error = error.code, error
            raise error from exc
        finally:
            self._instruments.finished(result, duration_s=loop.time() - began)


def _implementation(implementations: Iterable[object], method: Method) -> Callable[..., Any]:
    for each in implementations:
        found = getattr(each, method.python_name, None)
        if callable(found):
            implementation: Callable[..., Any] = found
            return implementation
    raise CannotStartError(f"Nothing implements {method.full_name}.")


def _deadline(method: Method, requested_s: float | None) -> float:
    max_s = MAX_STREAM_S if method.is_server_streaming else MAX_TIMEOUT_S
    default_s = MAX_STREAM_S if method.is_server_streaming else DEFAULT_TIMEOUT_S
    timeout_s = min(max_s, default_s if requested_s is None else requested_s)
    return asyncio.get_running_loop().time() + timeout_s


async def _checked(method: Method, request: Request) -> Message:
    message = request if isinstance(request, Message) else await request()
    if found := violations(method, message):
        raise invalid(*found)
    return message


@asynccontextmanager
async def _until(deadline: float) -> AsyncGenerator[None, None]:
    """Raise ApiError DEADLINE_EXCEEDED when the deadline passes or interrupts the block."""
    limit = asyncio.timeout_at(deadline)
    try:
        async with limit:
            yield
    except TimeoutError as exc:
        if limit.expired():
            raise deadline_exceeded() from exc
        raise
