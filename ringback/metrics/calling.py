"""Makes one call, with the caller's token, a deadline, and our own errors."""

import asyncio
import threading
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import grpc
from google.protobuf.message import Message

from ringback.metrics.channel import METHODS, Options, channel_options, credentials_of, target_of
from ringback.metrics.errors import DeadlineError, MetricsError, UnauthenticatedError, metrics_error

Answer = TypeVar("Answer", bound=Message)
Channel = TypeVar("Channel")
Token = TypeVar("Token")
Metadata = tuple[tuple[str, str], ...]

_serialize: Callable[[Message], bytes] = methodcaller("SerializeToString")


class _Caller(Generic[Channel, Token]):
    def __init__(
        self,
        address: str,
        *,
        token: str | Callable[[], Token] | None = None,
        timeout_s: float = 10.0,
        stream_idle_s: float = 90.0,
        tls: bool = False,
        root_certificates: Path | None = None,
        received: Callable[[Message], None] | None = None,
    ) -> None:
        """Prepare for the services at `address`; the first call connects.

        `address` is `host:port`, or another target of gRPC (`ipv4:10.0.0.1:50051,10.0.0.2:50051`).
        Calls are shared among all addresses of the name. Pass a `token` that may expire as a
        function; it is called before each call, so it should cache valid tokens. `timeout_s` is for
        each call; a stream may last longer, but has an answer every `stream_idle_s` seconds.
        `root_certificates`, a PEM file, is for a service with TLS whose authority the machine does
        not trust. `received` is called with each answer before the caller gets it, and may change
        it. Raises OSError if the file cannot be read.
        """
        credentials = credentials_of(tls=tls, root_certificates=root_certificates)
        self._channel = self._open(target_of(address), credentials, channel_options())
        self._token = token
        self._timeout_s = timeout_s
        self._stream_idle_s = stream_idle_s
        self._received = received or _as_it_is
        self._is_closed = False

    @abstractmethod
    def _open(
        self, target: str, credentials: grpc.ChannelCredentials | None, options: Options
    ) -> Channel: ...

    def _closed(self) -> MetricsError:
        return MetricsError(grpc.StatusCode.CANCELLED, "", "The client is closed.")

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._closed()

    def _is_idle(self) -> DeadlineError:
        message = f"The metrics service sent nothing for {self._stream_idle_s:g} seconds."
        return DeadlineError(grpc.StatusCode.DEADLINE_EXCEEDED, "", message)


class AsyncCaller(_Caller[grpc.aio.Channel, str | Awaitable[str]]):
    def _open(
        self, target: str, credentials: grpc.ChannelCredentials | None, options: Options
    ) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, credentials, options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel running calls and close the connections."""
        self._is_closed = True
        await self._channel.close()

    async def ask(self, answer_type: type[Answer], request: Message) -> Answer:
        """The answer to one request. Raises MetricsError."""
        method = self._channel.unary_unary(
            METHODS[answer_type.DESCRIPTOR.full_name],
            request_serializer=_serialize,
            response_deserializer=answer_type.FromString,
        )
        metadata = _metadata(await self._token_text())
        with self._own_errors():
            answer = await method(request, timeout=self._timeout_s, metadata=metadata)
        self._received(answer)
        return answer

    async def follow(
        self, answer_type: type[Answer], request: Message
    ) -> AsyncGenerator[Answer, None]:
        """Each answer as it arrives. Raises MetricsError.

        Closing it ends the call; the service notices.
        """
        method = self._channel.unary_stream(
            METHODS[answer_type.DESCRIPTOR.full_name],
            request_serializer=_serialize,
            response_deserializer=answer_type.FromString,
        )
        metadata = _metadata(await self._token_text())
        with self._own_errors():
            call = method(request, metadata=metadata)
        try:
            while True:
                async with asyncio.timeout(self._stream_idle_s):
                    with self._own_errors():
                        answer: Any = await call.read()
                if answer is grpc.aio.EOF:
                    return
                self._received(answer)
                yield answer
        except TimeoutError as exc:
            raise self._is_idle() from exc
        finally:
            call.cancel()

    @contextmanager
    def _own_errors(self) -> Generator[None, None, None]:
        self._check_open()
        try:
            yield
        except grpc.aio.AioRpcError as exc:
            raise metrics_error(exc) from exc
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            # gRPC raises it for a closed channel too. The task then would seem to be cancelled.
            if self._is_closed and task is not None and not task.cancelling():
                raise self._closed() from exc
            raise

    async def _token_text(self) -> str | None:
        if not callable(self._token):
            return self._token
        made = self._token()
        return made if isinstance(made, str) else await made


class SyncCaller(_Caller[grpc.Channel, str]):
    def _open(
        self, target: str, credentials: grpc.ChannelCredentials | None, options: Options
    ) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(target, options=options)
        return grpc.secure_channel(target, credentials, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel running calls and close the connections."""
        self._is_closed = True
        self._channel.close()

    def ask(self, answer_type: type[Answer], request: Message) -> Answer:
        """As AsyncCaller does."""
        self._check_open()
        method = self._channel.unary_unary(
            METHODS[answer_type.DESCRIPTOR.full_name],
            request_serializer=_serialize,
            response_deserializer=answer_type.FromString,
        )
        try:
            answer = method(request, timeout=self._timeout_s, metadata=self._metadata())
        except grpc.RpcError as exc:
            raise metrics_error(exc) from exc
        self._received(answer)
        return answer

    def follow(self, answer_type: type[Answer], request: Message) -> Generator[Answer, None, None]:
        """As AsyncCaller does."""
        self._check_open()
        method = self._channel.unary_stream(
            METHODS[answer_type.DESCRIPTOR.full_name],
            request_serializer=_serialize,
            response_deserializer=answer_type.FromString,
        )
        call = method(request, metadata=self._metadata())
        try:
            while True:
                answer = self._next(call, call.cancel)
                if answer is None:
                    return
                self._received(answer)
                yield answer
        finally:
            call.cancel()

    def _next(self, answers: Iterator[Answer], cancel_call: Callable[[], object]) -> Answer | None:
        """The next answer; None at the end. The call is cancelled when it comes too late."""
        is_late = threading.Event()

        def cancel() -> None:
            is_late.set()
            cancel_call()

        timer = threading.Timer(self._stream_idle_s, cancel)
        timer.daemon = True
        timer.start()
        try:
            return next(answers, None)
        except grpc.RpcError as exc:
            raise (self._is_idle() if is_late.is_set() else metrics_error(exc)) from exc
        finally:
            timer.cancel()

    def _metadata(self) -> Metadata:
        return _metadata(self._token() if callable(self._token) else self._token)


def _metadata(token: str | None) -> Metadata:
    if not token:
        return ()
    if not (token.isascii() and token.isprintable()):
        message = "The token has a character that no token has, such as a line end from its file."
        raise UnauthenticatedError(grpc.StatusCode.UNAUTHENTICATED, "", message)
    return (("authorization", f"Bearer {token}"),)


def _as_it_is(answer: Message) -> None:
    """Leave an answer unchanged."""
