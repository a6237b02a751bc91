"""The methods of the contract as gRPC calls; what they do is the dispatcher's."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import starmap
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from services.metrics.api.dispatch import Dispatcher
from services.metrics.api.errors import ApiError, Violation, invalid
from services.metrics.api.grpc_errors import grpc_status
from services.metrics.api.methods import Method
from services.metrics.api.peer import Peer, Protocol

Context = grpc.aio.ServicerContext[bytes, Message]


def grpc_handlers(dispatcher: Dispatcher) -> tuple[grpc.GenericRpcHandler, ...]:
    """One handler for each service, to be added to a server."""
    handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = defaultdict(dict)
    for method in dispatcher.methods:
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.is_server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        behavior = (_stream if method.is_server_streaming else _unary)(dispatcher, method)
        handlers[method.service][method.name] = make(
            behavior, response_serializer=method.response_class.SerializeToString
        )
    return tuple(starmap(grpc.method_handlers_generic_handler, handlers.items()))


def _unary(dispatcher: Dispatcher, method: Method) -> Callable[..., Any]:
    async def answer(request: bytes, context: Context) -> Message:
        try:
            return await dispatcher.unary(method, _reader(method, request), **_terms(context))
        except ApiError as exc:
            await context.abort_with_status(grpc_status(exc))

    return answer


def _stream(dispatcher: Dispatcher, method: Method) -> Callable[..., Any]:
    async def answer(request: bytes, context: Context) -> AsyncGenerator[Message, None]:
        reader = _reader(method, request)
        try:
            async with aclosing(dispatcher.stream(method, reader, **_terms(context))) as answers:
                async for one in answers:
                    yield one  # ruff: ignore[yield-in-context-manager-in-async-generator]  # gRPC closes it
        except ApiError as exc:
            await context.abort_with_status(grpc_status(exc))

    return answer


def _reader(method: Method, request: bytes) -> Callable[[], Awaitable[Message]]:
    """Bytes are taken apart only for somebody who may call; gRPC would do it for anybody."""

    async def read() -> Message:  # ruff: ignore[unused-async]  # REST awaits a body here
        try:
            return method.request_class.FromString(request)
        except DecodeError:
            what = f"The request is no {method.request_class.DESCRIPTOR.name}."
            raise invalid(Violation("", what)) from None

    return read


def _terms(context: Context) -> dict[str, Any]:
    values = [
        value if isinstance(value, str) else value.decode(errors="replace")
        for name, value in context.invocation_metadata() or ()
        if name == "authorization"
    ]
    return {
        # Two are one that no token is.
        "authorization": ", ".join(values) or None,
        "timeout_s": context.time_remaining(),
        "peer": Peer(Protocol.GRPC, context.peer()),
    }
