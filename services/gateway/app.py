"""The composition root: builds the gateway's parts in order of their dependencies."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.telemetry.spec import Service
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import raise_open_file_limit
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import Exemplars, process_registry
from ringback.runtime.observability.server import ObservabilityServer
from ringback.runtime.observability.trace_export import tracing
from ringback.runtime.observability.tracing import Tracer
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process import settings as runtime_settings
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from services.gateway.clock import Clock
from services.gateway.endpoints import routes_to
from services.gateway.handler import Limits, WebhookHandler
from services.gateway.http.in_flight import InFlightLimiter
from services.gateway.http.server import Server
from services.gateway.instruments import GatewayInstruments, SpoolInstruments
from services.gateway.log.delivery_log import DeliveryLog, PendingRows
from services.gateway.settings import GatewaySettings
from services.gateway.spans import Spans
from services.gateway.storage.publisher import Publisher
from services.gateway.storage.store import WebhookStore, build_store

_FIRST_CONNECT_S = 3.0
"""How long to wait at startup for the broker and the database before starting without them."""


async def main(stop: asyncio.Event) -> None:
    """Run the gateway with the settings of the environment until `stop` is set."""
    settings = runtime_settings.load(GatewaySettings)
    logs.configure("gateway", settings)
    end_in_time(stop, drain_timeout_s=settings.gateway_drain_timeout_s)
    await serve(settings, stop)


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Accept webhooks until `stop` is set.

    Raises CannotStartError when the broker's topology is missing, or when a port cannot be used.
    The gateway starts without a broker or a database: until they are available, webhooks are
    spooled (or answered with 503 without a spool), and pending rows wait.

    Shutdown runs in reverse order: not ready, no new requests, requests in flight, pending rows,
    spool, broker, database, health, spans.
    """
    instance_id = new_job_id()
    publisher = Publisher(settings.amqp_url.get_secret_value())
    registry = process_registry(Service.GATEWAY)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("gateway", registry))
        instruments = _instruments(registry, publisher, tracer)
        store = build_store(settings, publisher, instruments, SpoolInstruments(registry))
        observability = _observability(settings, registry, store)
        await stack.enter_async_context(observability)
        pool = await stack.enter_async_context(open_pool(settings, "ringback-gateway", registry))
        clock = await stack.enter_async_context(_clock(pool, instruments))
        await stack.enter_async_context(publisher)
        await _first_connect(publisher, clock)
        await stack.enter_async_context(store.running())
        delivery_log = DeliveryLog(pool, instance_id, settings.schedule.max_attempts)
        pending = PendingRows(delivery_log, instruments, max_rows=settings.pending_rows)
        await stack.enter_async_context(pending.running())
        server = build_server(
            settings,
            store=store,
            pending=pending,
            instruments=instruments,
            tracer=tracer,
            instance_id=instance_id,
            new_id=clock.new_job_id,
        )
        await stack.enter_async_context(server.running())
        observability.started()
        routes = sorted(routes_to(settings.all_endpoints()))
        instruments.started(str(instance_id), port=server.port, endpoints=routes)
        await stop.wait()
        instruments.stopping()
        observability.drain()


def _instruments(
    registry: CollectorRegistry, publisher: Publisher, tracer: Tracer
) -> GatewayInstruments:
    exemplars = Exemplars(is_traced=tracer.is_on)
    return GatewayInstruments(
        registry, is_connected=lambda: publisher.is_connected, exemplars=exemplars
    )


def _observability(
    settings: GatewaySettings, registry: CollectorRegistry, store: WebhookStore
) -> ObservabilityServer:
    return ObservabilityServer(
        host=settings.observability_host,
        port=settings.gateway_observability_port,
        registry=registry,
        readiness={"storage": store.can_store},
    )


def build_server(
    settings: GatewaySettings,
    *,
    store: WebhookStore,
    pending: PendingRows,
    instruments: GatewayInstruments,
    tracer: Tracer,
    instance_id: UUID,
    new_id: Callable[[], JobId] = new_job_id,
    clock: Callable[[], float] = time.monotonic,
) -> Server:
    """Build the HTTP server with its handler."""
    routes = routes_to(settings.all_endpoints())
    handler = WebhookHandler(
        routes=routes,
        limits=Limits(
            max_body_bytes=settings.max_body_bytes, body_timeout_s=settings.body_timeout_s
        ),
        limiter=InFlightLimiter(settings.max_in_flight, settings.max_in_flight_bytes),
        store=store,
        pending=pending,
        instruments=instruments,
        spans=Spans(tracer, routes),
        instance_id=instance_id,
        new_id=new_id,
    )
    connections = ConnectionLimits(
        raise_open_file_limit(settings.max_connections),
        on_close=instruments.connection_closed,
        clock=clock,
        trusted_idle_s=settings.keepalive_timeout_s,
    )
    instruments.watch_connections(lambda: connections.count)
    return Server(
        host=settings.gateway_host,
        port=settings.gateway_port,
        handle=handler.handle,
        connections=connections,
        drain_timeout_s=settings.gateway_drain_timeout_s,
    )


@asynccontextmanager
async def _clock(
    pool: asyncpg.Pool, instruments: GatewayInstruments
) -> AsyncGenerator[Clock, None]:
    clock = Clock()
    instruments.watch_clock(lambda: clock.offset_s)
    async with clock.comparing(pool):
        yield clock


async def _first_connect(publisher: Publisher, clock: Clock) -> None:
    """Wait a moment for broker and database. Raises CannotStartError if the topology is missing."""
    failure = await publisher.first_failure(within_s=_FIRST_CONNECT_S)
    if isinstance(failure, CannotStartError):
        raise failure
    await clock.first_comparison(within_s=_FIRST_CONNECT_S)
