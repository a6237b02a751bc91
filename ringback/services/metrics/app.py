"""The composition root: builds the parts of the metrics service in startup order."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.redaction.redaction import Redaction
from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spec import Service
from ringback.contract.topology import WORK_QUEUE, topology
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import raise_open_file_limit
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import process_registry
from ringback.runtime.observability.server import ObservabilityServer
from ringback.runtime.observability.trace_export import tracing
from ringback.runtime.observability.tracing import Tracer
from ringback.runtime.outgoing.addresses import parse_networks
from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.outgoing.remote_keys import KeyRefresher, RemoteKeySet
from ringback.runtime.postgres.pool import is_writable, open_pool, ping
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from ringback.runtime.process.settings import load
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.auth.authenticator import Authenticator
from ringback.services.metrics.commands.destinations import Destinations
from ringback.services.metrics.commands.discard import Discard
from ringback.services.metrics.commands.outbox import RetryOutbox, RetrySpans, open_outbox
from ringback.services.metrics.commands.processing import ProcessingSwitch
from ringback.services.metrics.commands.retry import Retries
from ringback.services.metrics.commands.retry_run_worker import RetryRunner, RunTools
from ringback.services.metrics.commands.retry_runs import RetryRuns
from ringback.services.metrics.commands.sweeper import RetrySweeper, prune_retries
from ringback.services.metrics.commands.waiting import WaitCommands
from ringback.services.metrics.console.binding import ConsoleBinding
from ringback.services.metrics.console.codes import ConsoleCodes
from ringback.services.metrics.console.oidc import OidcProvider
from ringback.services.metrics.console.routes import ROUTES
from ringback.services.metrics.console.security import frame_ancestors
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.console.sign_in import CALLBACK, SignIn
from ringback.services.metrics.instruments import CallInstruments, RetryInstruments, StateGauges
from ringback.services.metrics.polling.log_stats import LogReader
from ringback.services.metrics.polling.poller import Poller, count_max_age_s, poll_unacked
from ringback.services.metrics.polling.queue_depths import QueueDepths
from ringback.services.metrics.polling.stats_folding import fold_stats
from ringback.services.metrics.queries.changes import Changes
from ringback.services.metrics.queries.dead_letters import DeadLetters
from ringback.services.metrics.queries.deliveries import Deliveries
from ringback.services.metrics.queries.delivery_stats import DeliveryStats
from ringback.services.metrics.queries.endpoints import Endpoints
from ringback.services.metrics.queries.queue_health import QueueHealth
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot
from ringback.services.metrics.queries.waiting import Waiting
from ringback.services.metrics.settings import MetricsSettings
from ringback.services.metrics.slack.message import Links
from ringback.services.metrics.slack.notifier import notify
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.grpc_server import grpc_server
from ringback.services.metrics.transport.methods import methods_of
from ringback.services.metrics.transport.rest_server import rest_server
from ringback.services.metrics.transport.spans import CallSpans

log = structlog.get_logger()

_DEPTH_TIMEOUT_S = 1.0
_FINISH_S = 3.0
_MAX_CONNECTIONS = 2000
"""Concurrent calls by gRPC and REST together, if the limit of open files allows it."""

Background = set[asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Each check returns whether it passes, or raises if it cannot run. Callers set the timeout."""

    pool: asyncpg.Pool
    queues: QueueDepths

    async def database(self) -> bool:
        return await ping(self.pool)

    async def database_writable(self) -> bool:
        return await is_writable(self.pool)

    async def broker(self) -> bool:
        return await self.queues.answers()

    async def broker_and_database(self) -> bool:
        return await self.broker() and await self.database()


async def serve(stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then finish the calls in flight."""
    settings = load(MetricsSettings)
    logs.configure("metrics", settings)
    end_in_time(stop, drain_timeout_s=settings.metrics_drain_timeout_s)
    async with _metrics(settings, stop) as (background, observability):
        log.info(
            LogEvent.METRICS_READY,
            grpc_port=settings.metrics_grpc_port,
            rest_port=settings.metrics_rest_port,
        )
        stopped = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait({stopped, *background}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        log.info(LogEvent.METRICS_STOPPING)
        observability.drain()
        # This ends streams, also when no signal caused the shutdown.
        stop.set()
        for task in ended & background:
            task.result()
    log.info(LogEvent.METRICS_STOPPED)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that several other parts need."""

    settings: MetricsSettings
    registry: CollectorRegistry
    tracer: Tracer
    pool: asyncpg.Pool
    access: Access
    queues: QueueDepths
    gauges: StateGauges
    snapshot: QueueSnapshot


async def _parts(stack: AsyncExitStack, settings: MetricsSettings) -> _Parts:
    registry = process_registry(Service.METRICS)
    tracer = await stack.enter_async_context(tracing("metrics", registry))
    pool = await stack.enter_async_context(open_pool(settings, "ringback-metrics", registry))
    queues = await stack.enter_async_context(
        QueueDepths(settings.amqp_url.get_secret_value(), settings.schedule)
    )
    max_age_s = count_max_age_s(settings.metrics_interval_s)
    return _Parts(
        settings=settings,
        registry=registry,
        tracer=tracer,
        pool=pool,
        access=Access(pool, tracer),
        queues=queues,
        gauges=StateGauges(
            registry, max_age_s=max_age_s, broker_is_connected=lambda: queues.is_connected
        ),
        snapshot=QueueSnapshot(
            count_max_age_s=max_age_s,
            has_management_api=settings.rabbitmq_management_url is not None,
        ),
    )


@asynccontextmanager
async def _metrics(
    settings: MetricsSettings, stopping: asyncio.Event
) -> AsyncGenerator[tuple[Background, ObservabilityServer], None]:
    async with AsyncExitStack() as stack:
        authenticator = await _authenticator(stack, settings)
        parts = await _parts(stack, settings)
        registry, access = parts.registry, parts.access
        readiness = Readiness(parts.pool, parts.queues)
        observability = await stack.enter_async_context(
            _observability(settings, registry, readiness)
        )
        codes = console_codes(settings, parts.pool, access)
        outbox = await stack.enter_async_context(
            open_outbox(settings, access, RetryInstruments(registry), RetrySpans(parts.tracer))
        )
        tools = _run_tools(parts, outbox, stopping)
        runner = RetryRunner(tools)
        dispatcher = Dispatcher(
            methods := methods_of(),
            (
                *queries(access, parts.snapshot, settings.redaction),
                *_commands(stack, tools, runner),
                codes,
            ),
            authenticator=authenticator,
            instruments=CallInstruments(registry, methods),
            stopping=stopping,
        )
        console = await _console(stack, settings, dispatcher, authenticator, codes)
        spans = CallSpans(parts.tracer)
        await _listen(stack, settings, dispatcher, spans, readiness=readiness, console=console)
        observability.started()
        sweeper = RetrySweeper(access, outbox, stopping)
        work = (sweeper.run(), runner.run(), *_work(parts))
        yield _in_background(stack, *work), observability


def _work(parts: _Parts) -> Iterator[Coroutine[Any, Any, None]]:
    """The tasks that run in the background until the process stops."""
    settings, pool, access = parts.settings, parts.pool, parts.access
    poller = Poller(
        queues=parts.queues,
        log_reader=LogReader(pool, access),
        gauges=parts.gauges,
        snapshot=parts.snapshot,
    )
    yield poller.run(interval_s=settings.metrics_interval_s)

    def unacked_read(unacked: Mapping[str, int]) -> None:
        parts.gauges.unacked_read(unacked)
        parts.snapshot.unacked_read(unacked)

    if settings.rabbitmq_management_url is not None:
        yield poll_unacked(
            settings.rabbitmq_management_url.get_secret_value(),
            settings.amqp_url.get_secret_value(),
            frozenset(queue.name for queue in topology(settings.schedule).queues),
            unacked_read,
            settings.metrics_interval_s,
        )
    yield fold_stats(pool)
    yield prune_retries(pool)
    yield notify(settings, pool, access, parts.registry)


def queries(access: Access, snapshot: QueueSnapshot, redaction: Redaction) -> tuple[object, ...]:
    """The implementations of MetricsService."""
    return (
        QueueHealth(snapshot),
        DeliveryStats(access),
        Deliveries(access, redaction),
        Waiting(access),
        DeadLetters(access, redaction),
        Changes(access),
        Endpoints(access),
    )


def _run_tools(parts: _Parts, outbox: RetryOutbox, stopping: asyncio.Event) -> RunTools:
    async def waiting() -> int | None:
        depth = await parts.queues.depth_of(WORK_QUEUE, _DEPTH_TIMEOUT_S)
        return None if depth is None else depth.messages

    retries = Retries(parts.access, outbox, parts.settings.schedule.max_attempts)
    return RunTools(parts.access, retries, waiting, stopping)


def _commands(stack: AsyncExitStack, tools: RunTools, runner: RetryRunner) -> tuple[object, ...]:
    """The implementations of AdminService, and of ListDestinations.

    Closing the stack waits for what they have begun.
    """
    retry_runs = RetryRuns(tools, runner)
    stack.push_async_callback(retry_runs.finish, _FINISH_S)
    stack.push_async_callback(tools.retries.finish, _FINISH_S)
    access = tools.access
    return (
        tools.retries,
        retry_runs,
        Discard(access),
        WaitCommands(access),
        ProcessingSwitch(access),
        Destinations(access),
    )


def console_codes(settings: ConsoleSettings, pool: asyncpg.Pool, access: Access) -> ConsoleCodes:
    address = settings.console_address
    return ConsoleCodes(
        pool,
        access,
        is_on=settings.console_secret is not None,
        sign_in_url=f"{address}/sign-in" if address else "",
    )


def _observability(
    settings: MetricsSettings, registry: CollectorRegistry, readiness: Readiness
) -> ObservabilityServer:
    return ObservabilityServer(
        host=settings.observability_host,
        port=settings.metrics_observability_port,
        registry=registry,
        readiness={
            "database": readiness.database,
            "database_writable": readiness.database_writable,
            "broker": readiness.broker,
        },
    )


async def _listen(
    stack: AsyncExitStack,
    settings: MetricsSettings,
    dispatcher: Dispatcher,
    spans: CallSpans,
    *,
    readiness: Readiness,
    console: ConsoleBinding | None,
) -> None:
    host, drain_timeout_s = settings.metrics_host, settings.metrics_drain_timeout_s
    # Each connection to either port needs a file descriptor.
    max_connections = max(1, raise_open_file_limit(_MAX_CONNECTIONS) // 2)
    grpc = grpc_server(
        host,
        settings.metrics_grpc_port,
        dispatcher,
        spans=spans,
        is_ready=readiness.broker_and_database,
        drain_timeout_s=drain_timeout_s,
        max_connections=max_connections,
    )
    rest = rest_server(
        host=host,
        port=settings.metrics_rest_port,
        dispatcher=dispatcher,
        spans=spans,
        drain_timeout_s=drain_timeout_s,
        connections=ConnectionLimits(max_connections, on_close=lambda _: None),
        console=console,
    )
    await stack.enter_async_context(grpc)
    await stack.enter_async_context(rest)


async def _console(
    stack: AsyncExitStack,
    settings: MetricsSettings,
    dispatcher: Dispatcher,
    authenticator: Authenticator,
    codes: ConsoleCodes,
) -> ConsoleBinding | None:
    if settings.console_secret is None:
        return None
    provider = None
    if settings.console_oidc_issuer is not None:
        client = OutgoingClient(parse_networks(settings.outgoing_networks))
        await stack.enter_async_context(client.running())
        provider = OidcProvider(settings, client, f"{settings.console_address}{CALLBACK}")
    sign_in = SignIn(authenticator, codes, provider, settings)
    return console_binding(settings, dispatcher, sign_in, Links(settings.trace_url_template))


def console_binding(
    settings: ConsoleSettings, dispatcher: Dispatcher, sign_in: SignIn, links: Links
) -> ConsoleBinding:
    return ConsoleBinding(
        dispatcher,
        ROUTES,
        sign_in,
        base_path=settings.console_path,
        label=settings.console_label,
        origin=settings.console_url,
        frame_ancestors=frame_ancestors(settings.console_frame_ancestors),
        trace_url=links.trace_of,
    )


def _in_background(stack: AsyncExitStack, *work: Coroutine[Any, Any, None]) -> Background:
    """The work as tasks, which end before the resources already on the stack."""
    tasks = {asyncio.create_task(one) for one in work}
    stack.push_async_callback(end, *tasks)
    return tasks


async def _authenticator(stack: AsyncExitStack, settings: MetricsSettings) -> Authenticator:
    try:
        keys = settings.token_keys()
    except ValueError as exc:
        # The file was valid when the settings were loaded, but has changed since then.
        raise CannotStartError(f"The key that verifies tokens is invalid: {exc}.") from exc
    audience, issuer = settings.jwt_audience, settings.jwt_issuer
    if not isinstance(keys, RemoteKeySet):
        return Authenticator(keys, audience, issuer)
    client = OutgoingClient(parse_networks(settings.outgoing_networks))
    refresher = await stack.enter_async_context(KeyRefresher(lambda: [keys], client).running())
    return Authenticator(keys, audience, issuer, lambda: refresher.refresh([keys]))
