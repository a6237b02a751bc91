"""The composition root: builds the gateway's parts in order of their dependencies."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.telemetry.spec import Service
from ringback.contract.topology import accepting_topology
from ringback.runtime.amqp.publisher import Publisher
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.instruments import EndpointsFileInstruments
from ringback.runtime.endpoints.reload import Reloader
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import raise_open_file_limit
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import Exemplars, process_registry
from ringback.runtime.observability.server import ObservabilityServer
from ringback.runtime.observability.trace_export import tracing
from ringback.runtime.observability.tracing import Tracer
from ringback.runtime.outgoing.addresses import parse_networks
from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.outgoing.remote_keys import KeyRefresher
from ringback.runtime.outgoing.signature import signing_key
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process import settings as runtime_settings
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from ringback.services.gateway.clock import Clock
from ringback.services.gateway.endpoints.endpoint import Endpoint, unanswered
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.report import EndpointReporter
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.endpoints.token_endpoint import TokenEndpoint
from ringback.services.gateway.handler import Limits, WebhookHandler
from ringback.services.gateway.http.in_flight import InFlightLimiter
from ringback.services.gateway.http.server import Server
from ringback.services.gateway.instruments import GatewayInstruments, SpoolInstruments
from ringback.services.gateway.log.delivery_log import DeliveryLog, PendingRows
from ringback.services.gateway.questions.answer_supervisor import (
    AnswerSupervisor,
    child_environment,
)
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.questions.question_log import QuestionLog, QuestionTable
from ringback.services.gateway.questions.relay import QuestionRelay, RelayLimits
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.gateway.spans import Spans
from ringback.services.gateway.storage.org_rate import OrgRates
from ringback.services.gateway.storage.store import WebhookStore, build_store

_MAX_WAITING_QUESTIONS = 1_000
"""How many answered questions wait to be written to the database."""

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
    publisher = _publisher(settings)
    registry = process_registry(Service.GATEWAY)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("gateway", registry))
        instruments = _instruments(registry, publisher, tracer)
        store = build_store(settings, publisher, instruments, SpoolInstruments(registry))
        observability = await stack.enter_async_context(_observability(settings, registry, store))
        pool = await stack.enter_async_context(open_pool(settings, "ringback-gateway", registry))
        clock = await stack.enter_async_context(_clock(pool, instruments))
        await stack.enter_async_context(publisher)
        await _first_connect(publisher, clock)
        await stack.enter_async_context(store.running())
        pending = _pending_rows(settings, pool, instance_id, instruments)
        await stack.enter_async_context(pending.running())
        answers, relay = await stack.enter_async_context(_asking(settings, pool, registry, tracer))
        endpoints = await stack.enter_async_context(_endpoints(settings, registry, answers))
        await stack.enter_async_context(_reporting(pool, instance_id, endpoints, instruments))
        server = build_server(
            settings,
            table=endpoints.table,
            refresher=endpoints.refresher,
            store=store,
            relay=relay,
            pending=pending,
            refusals=endpoints.refusals,
            instruments=instruments,
            tracer=tracer,
            instance_id=instance_id,
            new_id=clock.new_job_id,
        )
        await stack.enter_async_context(server.running())
        observability.started()
        instruments.started(
            str(instance_id), port=server.port, endpoints=sorted(endpoints.table.routes)
        )
        await stop.wait()
        instruments.stopping()
        observability.drain()


def _publisher(settings: GatewaySettings) -> Publisher:
    url = settings.amqp_url.get_secret_value()
    return Publisher(url, "gateway", needed=accepting_topology())


def _pending_rows(
    settings: GatewaySettings,
    pool: asyncpg.Pool,
    instance_id: UUID,
    instruments: GatewayInstruments,
) -> PendingRows:
    delivery_log = DeliveryLog(pool, instance_id, settings.schedule.max_attempts)
    return PendingRows(delivery_log, instruments, max_rows=settings.pending_rows)


class _Endpoints(NamedTuple):
    """The endpoints, the state of their file, the keys of their senders, and what they refused."""

    table: EndpointTable
    file: EndpointsFileInstruments
    refresher: KeyRefresher
    refusals: RefusalCounts


def _reporting(
    pool: asyncpg.Pool,
    instance_id: UUID,
    endpoints: _Endpoints,
    instruments: GatewayInstruments,
) -> AbstractAsyncContextManager[None]:
    return EndpointReporter(
        pool,
        instance_id,
        table=endpoints.table,
        refusals=endpoints.refusals,
        file=endpoints.file,
        instruments=instruments,
    ).running()


@asynccontextmanager
async def _endpoints(
    settings: GatewaySettings, registry: CollectorRegistry, answers: AnswerSupervisor
) -> AsyncGenerator[_Endpoints]:
    """Keep the endpoints as their file declares them, and the keys of their senders fresh."""

    def read(sources: Sources) -> tuple[Endpoint, ...]:
        endpoints = settings.read_endpoints(sources)
        problems = unanswered(endpoints, answers.types)
        if problems:
            raise DocumentError(problems)
        return endpoints

    try:
        table = EndpointTable(read(Sources()))
    except DocumentError as exc:
        raise CannotStartError("\n".join(exc.problems)) from None
    file = EndpointsFileInstruments(registry)
    async with AsyncExitStack() as stack:
        refresher = await stack.enter_async_context(build_refresher(settings, table).running())
        if settings.endpoints_file is not None:
            reloader = Reloader(read, table, file)
            await stack.enter_async_context(reloader.running())
        yield _Endpoints(table, file, refresher, RefusalCounts())


def build_refresher(settings: GatewaySettings, table: EndpointTable) -> KeyRefresher:
    client = OutgoingClient(parse_networks(settings.outgoing_networks))
    return KeyRefresher(lambda: table.key_sets, client)


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
    table: EndpointTable,
    refresher: KeyRefresher,
    store: WebhookStore,
    relay: QuestionRelay,
    pending: PendingRows,
    refusals: RefusalCounts,
    instruments: GatewayInstruments,
    tracer: Tracer,
    instance_id: UUID,
    new_id: Callable[[], JobId] = new_job_id,
    clock: Callable[[], float] = time.monotonic,
) -> Server:
    """Build the HTTP server with its handler."""
    limiter = InFlightLimiter(settings.max_in_flight, settings.max_in_flight_bytes)
    handler = WebhookHandler(
        table=table,
        refresher=refresher,
        limits=_limits(settings),
        limiter=limiter,
        store=store,
        relay=relay,
        pending=pending,
        instruments=instruments,
        spans=Spans(tracer, table),
        refusals=refusals,
        rates=OrgRates(settings.org_rate_per_s, on_over=instruments.org_over_rate, clock=clock),
        instance_id=instance_id,
        trusted_proxies=parse_networks(settings.trusted_proxies),
        new_id=new_id,
    )
    return Server(
        host=settings.gateway_host,
        port=settings.gateway_port,
        handle=TokenEndpoint(table, limiter, instruments).before(handler.handle),
        connections=_connections(settings, instruments, clock),
        drain_timeout_s=settings.gateway_drain_timeout_s,
        stop_waiting=relay.stop_waiting,
    )


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(max_body_bytes=settings.max_body_bytes, body_timeout_s=settings.body_timeout_s)


def _connections(
    settings: GatewaySettings, instruments: GatewayInstruments, clock: Callable[[], float]
) -> ConnectionLimits:
    connections = ConnectionLimits(
        raise_open_file_limit(settings.max_connections),
        on_close=instruments.connection_closed,
        clock=clock,
        trusted_idle_s=settings.keepalive_timeout_s,
    )
    instruments.watch_connections(lambda: connections.count)
    return connections


def answer_supervisor(
    settings: GatewaySettings, instruments: QuestionInstruments
) -> AnswerSupervisor:
    environment = child_environment(os.environ, settings.answers_environment)
    restarted = instruments.answer_process_restarted
    return AnswerSupervisor(settings.answers, environment, on_restart=restarted)


def build_relay(
    settings: GatewaySettings,
    log: QuestionLog,
    instruments: QuestionInstruments,
    tracer: Tracer,
    answers: AnswerSupervisor,
) -> QuestionRelay:
    secret = settings.question_signing_secret
    return QuestionRelay(
        OutgoingClient(parse_networks(settings.outgoing_networks), unix_socket=answers.socket_path),
        log,
        instruments,
        tracer,
        RelayLimits(
            max_per_destination=settings.question_limit_per_backend,
            max_in_flight=settings.question_limit,
            max_in_flight_bytes=settings.max_in_flight_bytes,
            max_answer_bytes=settings.max_answer_bytes,
        ),
        signing_key=None if secret is None else signing_key(secret.get_secret_value()),
    )


@asynccontextmanager
async def _asking(
    settings: GatewaySettings, pool: asyncpg.Pool, registry: CollectorRegistry, tracer: Tracer
) -> AsyncGenerator[tuple[AnswerSupervisor, QuestionRelay], None]:
    """Answer questions while entered: the process of your functions, and the relay."""
    instruments = QuestionInstruments(registry, Exemplars(is_traced=tracer.is_on))
    table = QuestionTable(pool, settings.redaction)
    log = QuestionLog(table, instruments, max_waiting=_MAX_WAITING_QUESTIONS)
    async with answer_supervisor(settings, instruments).running() as answers:
        relay = build_relay(settings, log, instruments, tracer, answers)
        async with log.running(), relay.running():
            yield answers, relay


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
