"""The gRPC server: the calls of the contract, health and reflection."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ringback.runtime.http.listening import ALL_ADDRESSES, addresses_in
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError
from services.metrics.api.call_spans import CallSpans
from services.metrics.api.dispatch import Dispatcher
from services.metrics.api.grpc_binding import grpc_handlers

Ping = Callable[[], Awaitable[bool]]

_HEALTH_INTERVAL_S = 1.0
_PING_TIMEOUT_S = 2.0
_MOST_CALLS = 500
_MOST_CONNECTIONS = 1000
_MIB = 1024 * 1024
_OPTIONS = (
    # By default several servers may share a port without an error, and callers reach either one.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MIB),
    # The largest event, as JSON with its spaces.
    ("grpc.max_send_message_length", 32 * _MIB),
    # A long token fits.
    ("grpc.max_metadata_size", 16 * 1024),
    # Detect dead connections, and close those that send too many pings.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # Clients reconnect now and then, and so find new replicas. Calls on the old connection,
    # including streams, may finish.
    ("grpc.max_connection_age_ms", 30 * 60_000),
    # Close idle connections.
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
    max_connections: int = _MOST_CONNECTIONS,
) -> AsyncGenerator[None, None]:
    """Serve inside this context; the health service is SERVING while `is_ready` returns true.

    This applies to the server (an empty name) and to each service. On exit it reports NOT_SERVING,
    then finishes the calls in flight, for `drain_timeout_s` at most: streams end when the
    dispatcher's `stopping` is set. Raises CannotStartError when it cannot bind an address.
    """
    services = tuple(dict.fromkeys(method.service for method in dispatcher.methods))
    server = grpc.aio.server(
        options=(*_OPTIONS, ("grpc.max_allowed_incoming_connections", max_connections)),
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    server.add_generic_rpc_handlers(grpc_handlers(dispatcher, spans))
    servicer = health.aio.HealthServicer()
    await _tell(servicer, services, ready=False)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection(
        (*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    # For the IPv6 wildcard address gRPC listens on IPv4 as well.
    for host in addresses_in(hosts.replace(ALL_ADDRESSES, "::")):
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            server.add_insecure_port(address)
        except RuntimeError as exc:
            raise CannotStartError(
                f"The address {address} (RINGBACK_METRICS_GRPC_PORT) cannot be used."
            ) from exc
    await server.start()
    following = asyncio.create_task(_follow(servicer, services, is_ready))
    try:
        yield
    finally:
        await end(following)
        await servicer.enter_graceful_shutdown()
        await server.stop(drain_timeout_s)


async def _follow(
    servicer: health.aio.HealthServicer, services: tuple[str, ...], is_ready: Ping
) -> None:
    while True:
        await _tell(servicer, services, ready=await _ask(is_ready))
        await asyncio.sleep(_HEALTH_INTERVAL_S)


async def _tell(
    servicer: health.aio.HealthServicer, services: tuple[str, ...], *, ready: bool
) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ("", *services):
        await servicer.set(name, status.SERVING if ready else status.NOT_SERVING)


async def _ask(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            return await ping()
    except Exception:  # ruff: ignore[blind-except]  # any failed ping means not ready
        return False
