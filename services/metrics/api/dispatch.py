"""The one way of every call, by whatever protocol it came: who calls, may they, what came of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Protocol

from google.protobuf.message import Message

from services.metrics.api.methods import Method
from services.metrics.api.peer import Peer
from services.metrics.api.principal import Principal

Request = Message | Callable[[], Awaitable[Message]]
"""The request, or what reads it: that is called once the caller is known and may call the method.

It raises ApiError (`invalid`) when what it reads is no request.
"""


class Authenticates(Protocol):
    def authenticate(self, authorization: str | None) -> Principal:
        """Who sends this Authorization header. Raises ApiError."""


class Dispatcher:
    """`implementations`: the full name of a service, and what implements it."""

    def __init__(
        self,
        methods: tuple[Method, ...],
        implementations: Mapping[str, object],
        *,
        authenticator: Authenticates,
        observer: object,
        stopping: asyncio.Event,
    ) -> None:
        self.methods = methods

    async def unary(
        self,
        method: Method,
        request: Request,
        *,
        authorization: str | None,
        timeout_s: float | None,
        peer: Peer,
    ) -> Message:
        """The answer. Raises ApiError, and nothing else but CancelledError.

        `authorization` is the header's value; `timeout_s` is how long the caller waits, None if
        the caller did not say.
        """
        raise NotImplementedError

    def stream(
        self,
        method: Method,
        request: Request,
        *,
        authorization: str | None,
        timeout_s: float | None,
        peer: Peer,
    ) -> AsyncGenerator[Message, None]:
        """The answers, as they come. Nothing happens before the first is asked for.

        Raises ApiError, at the first answer (a bad token, say) or at any later one. Whoever stops
        asking before the end closes it (`contextlib.aclosing`).
        """
        raise NotImplementedError
