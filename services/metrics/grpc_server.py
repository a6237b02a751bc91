"""The gRPC side: for now, the standard health service."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ringback.runtime.lifecycle import CannotStartError

Ping = Callable[[], Awaitable[bool]]

_HEALTH_INTERVAL_S = 1.0
_PING_TIMEOUT_S = 2.0
#: By default several servers may share a port in silence, and callers reach now one, now another.
_OPTIONS = (("grpc.so_reuseport", 0),)


@asynccontextmanager
async def grpc_server(
    address: str, *, is_ready: Ping, drain_timeout_s: float
) -> AsyncGenerator[None, None]:
    """Serve while it is entered; the health service says SERVING while `is_ready` says yes.

    Leaving says NOT_SERVING, then finishes the calls in hand, for `drain_timeout_s` at most.
    Raises CannotStartError when the address cannot be used.
    """
    server = grpc.aio.server(options=_OPTIONS)
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as exc:
        raise CannotStartError(
            f"The address {address} (RINGBACK_METRICS_GRPC_PORT) cannot be used."
        ) from exc
    await server.start()
    following = asyncio.create_task(_follow(servicer, is_ready))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await servicer.enter_graceful_shutdown()
        await server.stop(drain_timeout_s)


async def _follow(servicer: health.aio.HealthServicer, is_ready: Ping) -> None:
    while True:
        ready = await _ask(is_ready)
        status = health_pb2.HealthCheckResponse
        await servicer.set("", status.SERVING if ready else status.NOT_SERVING)
        await asyncio.sleep(_HEALTH_INTERVAL_S)


async def _ask(ping: Ping) -> bool:
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            return await ping()
    except Exception:  # ruff: ignore[blind-except]  # whatever a ping raises, the answer is no
        return False
