"""The methods of the contract as gRPC calls; the dispatcher runs them."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import starmap
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from services.metrics.api.call_spans import CallSpans
from services.metrics.api.dispatch import Dispatcher
from services.metrics.api.errors import ApiError, Violation, invalid
from services.metrics.api.grpc_errors import grpc_status
from services.metrics.api.methods import Method
from services.metrics.api.peer import Peer, Protocol

Context = grpc.aio.ServicerContext[bytes, Message]


def grpc_handlers(dispatcher: Dispatcher, spans: CallSpans) -> tuple[grpc.GenericRpcHandler, ...]:
    """One handler per service, to add to a server."""
    handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = defaultdict(dict)
    for method in dispatcher.methods:
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.is_server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        bind = _stream if method.is_server_streaming else _unary
        behavior = bind(dispatcher, method, spans)
        handlers[method.service][method.name] = make(
            behavior, response_serializer=method.response_class.SerializeToString
        )
    return tuple(starmap(grpc.method_handlers_generic_handler, handlers.items()))


def _unary(dispatcher: Dispatcher, method: Method, spans: CallSpans) -> Callable[..., Any]:
    async def answer(request: bytes, context: Context) -> Message:
        span = spans.by_grpc(method, _metadata(context))
        reader = _reader(method, request)
        try:
            return await dispatcher.unary(method, reader, **_terms(context), span=span)
        except ApiError as exc:
            await context.abort_with_status(grpc_status(exc))
        finally:
            span.end()

    return answer


def _stream(dispatcher: Dispatcher, method: Method, spans: CallSpans) -> Callable[..., Any]:
    async def answer(request: bytes, context: Context) -> AsyncGenerator[Message, None]:
        span = spans.by_grpc(method, _metadata(context))
        stream = dispatcher.stream(method, _reader(method, request), **_terms(context), span=span)
        try:
            async with aclosing(stream) as answers:
                async for one in answers:
                    yield one  # ruff: ignore[yield-in-context-manager-in-async-generator]  # gRPC closes it
        except ApiError as exc:
            await context.abort_with_status(grpc_status(exc))
        finally:
            span.end()

    return answer


def _reader(method: Method, request: bytes) -> Callable[[], Awaitable[Message]]:
    """Parse bytes only for authorized callers; gRPC would parse them for anyone."""

    async def read() -> Message:  # ruff: ignore[unused-async]  # REST awaits a body here
        try:
            return method.request_class.FromString(request)
        except DecodeError:
            what = f"The request is no {method.request_class.DESCRIPTOR.name}."
            raise invalid(Violation("", what)) from None

    return read


def _terms(context: Context) -> dict[str, Any]:
    return {
        "authorization": _metadata(context).get("authorization"),
        "timeout_s": context.time_remaining(),
        "peer": Peer(Protocol.GRPC, context.peer()),
    }


def _metadata(context: Context) -> dict[str, str]:
    """A name with two values gets a value that is no valid token or trace."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else value.decode(errors="replace")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
