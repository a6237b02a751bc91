"""Puts the gateway together, in the order in which its parts need each other."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.identity import new_job_id
from ringback.contract.telemetry.service_name import Service
from ringback.runtime import logs
from ringback.runtime import settings as runtime_settings
from ringback.runtime.connections import Connections
from ringback.runtime.exemplars import Exemplars
from ringback.runtime.exposition import Exposition
from ringback.runtime.lifecycle import CannotStartError
from ringback.runtime.open_files import room_for_connections
from ringback.runtime.postgres import open_pool
from ringback.runtime.process_registry import process_registry
from ringback.runtime.stop_deadline import end_in_time
from ringback.runtime.tracing import Tracer, tracing
from services.gateway.clock import Clock
from services.gateway.delivery_log import DeliveryLog
from services.gateway.intake import Intake, Limits
from services.gateway.observe import Observe
from services.gateway.pending_rows import PendingRows
from services.gateway.publisher import Publisher
from services.gateway.room import Room
from services.gateway.routes import routes_of
from services.gateway.server import Server
from services.gateway.settings import GatewaySettings
from services.gateway.shelter import Shelter
from services.gateway.spans import Spans
from services.gateway.spool.observe import ObserveSpool

_FIRST_SESSION_S = 3.0
"""How long the start waits for a first answer. A broker or database that is away stops nobody."""


async def main(stop: asyncio.Event) -> None:
    """Run the gateway with the settings of the environment until `stop` is set."""
    settings = runtime_settings.load(GatewaySettings)
    logs.configure("gateway", settings)
    end_in_time(stop, drain_timeout_s=settings.gateway_drain_timeout_s)
    await serve(settings, stop)


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Take webhooks until `stop` is set.

    Raises CannotStartError when the broker lacks the topology, or when a port cannot be used. A
    broker or a database that is away raises nothing: webhooks wait in the spool, or are answered
    with 503 where there is none, or have no pending row, until it is back.

    Leaving goes backwards: not ready, no new requests, those in hand, pending rows, spool, broker,
    database, health, spans.
    """
    life = new_job_id()
    publisher = Publisher(settings.amqp_url.get_secret_value())
    registry = process_registry(Service.GATEWAY)
    shelter = Shelter(settings, publisher, ObserveSpool(registry))
    exposition = Exposition(
        host=settings.exposition_host,
        port=settings.gateway_exposition_port,
        registry=registry,
        readiness={"storage": shelter.can_store},
    )
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("gateway"))
        observe = _observe(registry, publisher, tracer)
        await stack.enter_async_context(exposition)
        pool = await stack.enter_async_context(open_pool(settings, "ringback-gateway", registry))
        clock = await stack.enter_async_context(_clock(pool, observe))
        await stack.enter_async_context(publisher)
        await _first_answers(publisher, clock)
        await stack.enter_async_context(shelter)
        delivery_log = DeliveryLog(pool, life, settings.ladder.max_attempts, settings.redaction)
        pending = await stack.enter_async_context(_pending_rows(settings, delivery_log, observe))
        routes = routes_of(settings.all_endpoints())
        intake = Intake(
            routes=routes,
            limits=_limits(settings),
            room=Room(settings.max_in_hand, settings.max_in_hand_bytes),
            storing=shelter.storing(observe),
            pending=pending,
            observe=observe,
            spans=Spans(tracer, routes),
            life=life,
            new_id=clock.new_job_id,
        )
        server = await stack.enter_async_context(_server(settings, intake, observe))
        exposition.started()
        observe.started(life=str(life), port=server.port, endpoints=sorted(routes))
        await stop.wait()
        observe.stopping()
        exposition.drain()


def _observe(registry: CollectorRegistry, publisher: Publisher, tracer: Tracer) -> Observe:
    exemplars = Exemplars(is_traced=tracer.is_on)
    return Observe(registry, is_link_up=lambda: publisher.up, exemplars=exemplars)


def _pending_rows(
    settings: GatewaySettings, delivery_log: DeliveryLog, observe: Observe
) -> PendingRows:
    return PendingRows(
        delivery_log,
        observe,
        most=settings.pending_rows,
        most_bytes=settings.pending_bytes,
    )


def _server(settings: GatewaySettings, intake: Intake, observe: Observe) -> Server:
    most = room_for_connections(settings.max_connections)
    connections = Connections(
        most, cut=observe.connection_cut, known_waits_s=settings.keepalive_timeout_s
    )
    observe.watch_connections(lambda: connections.count)
    return Server(
        host=settings.gateway_host,
        port=settings.gateway_port,
        take=intake.take,
        connections=connections,
        drain_timeout_s=settings.gateway_drain_timeout_s,
    )


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        payloads_below=settings.pending_payloads_below,
    )


@asynccontextmanager
async def _clock(pool: asyncpg.Pool, observe: Observe) -> AsyncGenerator[Clock, None]:
    clock = Clock()
    observe.watch_clock(lambda: clock.offset_s)
    async with clock.following(pool):
        yield clock


async def _first_answers(publisher: Publisher, clock: Clock) -> None:
    """Raise CannotStartError when the broker lacks the topology; know the time, if it can be."""
    failure = await publisher.first_failure(within_s=_FIRST_SESSION_S)
    if isinstance(failure, CannotStartError):
        raise failure
    await clock.tried(within_s=_FIRST_SESSION_S)
