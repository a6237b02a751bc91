"""Makes one call, with the caller's token, a deadline, and our own errors."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from ringback.metrics.errors import metrics_error

TokenSource = Callable[[], str | Awaitable[str]]
"""Returns the token for a call. It is called before each call, so it should cache valid tokens."""

Request = TypeVar("Request")
Answer = TypeVar("Answer", bound=Message)


class Caller:
    def __init__(
        self,
        token: str | TokenSource | None,
        timeout_s: float,
        received: Callable[[Message], None] | None = None,
    ) -> None:
        self._token = token
        self._timeout_s = timeout_s
        self._received = received or _as_it_is

    async def ask(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Answer]", request: Request
    ) -> Answer:
        """The answer to one request. Raises MetricsError."""
        metadata = await self._metadata()
        try:
            answer = await method(request, timeout=self._timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as exc:
            raise metrics_error(exc) from exc
        self._received(answer)
        return answer

    async def follow(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Request, Answer]", request: Request
    ) -> AsyncGenerator[Answer, None]:
        """Each answer as it arrives, without a time limit. Raises MetricsError.

        Closing it ends the call; the service notices.
        """
        call = method(request, metadata=await self._metadata())
        try:
            async for answer in call:
                self._received(answer)
                yield answer
        except grpc.aio.AioRpcError as exc:
            raise metrics_error(exc) from exc
        finally:
            call.cancel()

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._token
        if callable(token):
            made = token()
            token = await made if inspect.isawaitable(made) else made
        return (("authorization", f"Bearer {token}"),) if token else ()


def _as_it_is(answer: Message) -> None:
    """Leave an answer unchanged."""
