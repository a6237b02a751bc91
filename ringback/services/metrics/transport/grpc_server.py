"""The gRPC server: the calls of the contract, health and reflection."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import starmap
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from ringback.runtime.http.listening import ALL_ADDRESSES, IPV6_WILDCARD, addresses_in
from ringback.runtime.process.background import end, keep_running
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.transport.call import Peer, Transport
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.errors import DOMAIN, ApiError, Violation, invalid
from ringback.services.metrics.transport.methods import Method
from ringback.services.metrics.transport.spans import CallSpans

Ping = Callable[[], Awaitable[bool]]

_HEALTH_INTERVAL_S = 1.0
_PING_TIMEOUT_S = 2.0
_MAX_CALLS = 500
_MAX_CONNECTIONS = 1000
_MIB = 1024 * 1024
_OPTIONS = (
    # By default two servers can share a port without an error, and a call reaches either of them.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MIB),
    # The largest event, as JSON with its spaces.
    ("grpc.max_send_message_length", 32 * _MIB),
    # Enough for a long token.
    ("grpc.max_metadata_size", 16 * 1024),
    # Detect dead connections, and close those that send too many pings.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # Clients then reconnect every half an hour, and so find new replicas. Calls on the old
    # connection, including streams, may finish.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    # Close connections that never begin to use HTTP/2.
    ("grpc.server_handshake_timeout_ms", 10_000),
)


@asynccontextmanager
async def grpc_server(
    hosts: str,
    port: int,
    dispatcher: Dispatcher,
    *,
    spans: CallSpans,
    is_ready: Ping,
    drain_timeout_s: float,
    max_connections: int = _MAX_CONNECTIONS,
) -> AsyncGenerator[None, None]:
    """Serve while entered. gRPC's health service reports SERVING while `is_ready` returns true.

    It reports this for the server (an empty name) and for each service. On exit it reports
    NOT_SERVING, then finishes the calls in flight, for `drain_timeout_s` at most: streams end when
    the dispatcher's `stopping` is set. Raises CannotStartError when it cannot bind an address.
    """
    services = tuple(dict.fromkeys(method.service for method in dispatcher.methods))
    server = grpc.aio.server(
        options=(*_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections)),
        maximum_concurrent_rpcs=_MAX_CALLS,
    )
    server.add_generic_rpc_handlers(grpc_handlers(dispatcher, spans))
    servicer = health.aio.HealthServicer()
    await _set_health(servicer, services, ready=False)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(
        (*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    for address in _addresses(hosts, port):
        try:
            server.add_insecure_port(address)
        except RuntimeError as exc:
            raise CannotStartError(
                f"gRPC cannot listen at {address} (RINGBACK_METRICS_HOST, "
                "RINGBACK_METRICS_GRPC_PORT). Is another process using this port?"
            ) from exc
    await server.start()
    health_updates = asyncio.create_task(
        keep_running(lambda: _keep_health_current(servicer, services, is_ready))
    )
    try:
        yield
    finally:
        await end(health_updates)
        await servicer.enter_graceful_shutdown()
        await server.stop(drain_timeout_s)


def _addresses(hosts: str, port: int) -> Iterator[str]:
    for named in addresses_in(hosts):
        # For the IPv6 wildcard address gRPC listens on IPv4 as well.
        host = IPV6_WILDCARD if named == ALL_ADDRESSES else named
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _keep_health_current(
    servicer: health.aio.HealthServicer, services: tuple[str, ...], is_ready: Ping
) -> None:
    while True:
        await _set_health(servicer, services, ready=await _is_ready(is_ready))
        await asyncio.sleep(_HEALTH_INTERVAL_S)


async def _set_health(
    servicer: health.aio.HealthServicer, services: tuple[str, ...], *, ready: bool
) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ("", *services):
        await servicer.set(name, status.SERVING if ready else status.NOT_SERVING)


async def _is_ready(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            return await ping()
    except Exception:  # ruff: ignore[blind-except]  # any failed ping means not ready
        return False


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
            return await dispatcher.unary(method, reader, **_caller_of(context), span=span)
        except ApiError as exc:
            await context.abort_with_status(grpc_status(exc))
        finally:
            span.end()

    return answer


def _stream(dispatcher: Dispatcher, method: Method, spans: CallSpans) -> Callable[..., Any]:
    async def answer(request: bytes, context: Context) -> AsyncGenerator[Message, None]:
        span = spans.by_grpc(method, _metadata(context))
        stream = dispatcher.stream(
            method, _reader(method, request), **_caller_of(context), span=span
        )
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
    """Parse the request only after the caller is authorized; gRPC would parse it for anyone."""

    async def read() -> Message:  # ruff: ignore[unused-async]  # REST awaits a body here
        try:
            return method.request_class.FromString(request)
        except DecodeError:
            what = f"The request is not a {method.request_class.DESCRIPTOR.name}."
            raise invalid(Violation("", what)) from None

    return read


def _caller_of(context: Context) -> dict[str, Any]:
    return {
        "authorization": _metadata(context).get("authorization"),
        "timeout_s": context.time_remaining(),
        "peer": Peer(Transport.GRPC, context.peer()),
    }


def _metadata(context: Context) -> dict[str, str]:
    """Join repeated values of a name, which then are no valid token and no valid trace."""
    found: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        text = value if isinstance(value, str) else value.decode(errors="replace")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


_MAX_TEXT = 250
"""The longest text, in characters.

It may quote the caller, and the whole status must fit into the response trailers. Clients accept 8
KiB of trailers, and a character may need 12 bytes there.
"""
_MAX_VIOLATION_BYTES = 1500


def grpc_status(error: ApiError) -> grpc.Status:
    status = status_pb2.Status(code=error.code.value[0], message=error.message[:_MAX_TEXT])
    for detail in _details(error):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    packed_status: grpc.Status = rpc_status.to_status(status)
    return packed_status


def _details(error: ApiError) -> Iterator[Message]:
    yield error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
    )
    if error.violations:
        yield error_details_pb2.BadRequest(field_violations=_first(error.violations))
    if error.resource is not None:
        yield error_details_pb2.ResourceInfo(
            resource_type=error.resource.type, resource_name=error.resource.name[:_MAX_TEXT]
        )


def _first(
    violations: Iterable[Violation],
) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    """As many as fit; the first one always."""
    room = _MAX_VIOLATION_BYTES
    for violation in violations:
        field = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:_MAX_TEXT], description=violation.description[:_MAX_TEXT]
        )
        yield field
        room -= field.ByteSize()
        if room < 0:
            return
