"""The composition root: builds the parts of the metrics service in startup order."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
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
from ringback.runtime.postgres.pool import is_writable, open_pool, ping
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from ringback.runtime.process.settings import load
from services.metrics.auth.access import Access
from services.metrics.auth.authenticator import Authenticator
from services.metrics.commands.bulk_retry import BulkRetry
from services.metrics.commands.discard import Discard
from services.metrics.commands.outbox import RetryOutbox, RetrySpans, open_outbox
from services.metrics.commands.processing import ProcessingSwitch
from services.metrics.commands.retry import Retries
from services.metrics.commands.sweeper import RetrySweeper, prune_retries
from services.metrics.instruments import CallInstruments, RetryInstruments, StateGauges
from services.metrics.polling.log_stats import LogReader
from services.metrics.polling.poller import Poller, count_max_age_s, poll_unacked
from services.metrics.polling.queue_depths import QueueDepths
from services.metrics.polling.stats_folding import fold_stats
from services.metrics.queries.dead_letters import DeadLetters
from services.metrics.queries.deliveries import Deliveries
from services.metrics.queries.delivery_stats import DeliveryStats
from services.metrics.queries.queue_health import QueueHealth
from services.metrics.queries.queue_snapshot import QueueSnapshot
from services.metrics.settings import MetricsSettings, TokenSettings
from services.metrics.slack.notifier import notify
from services.metrics.transport.dispatcher import Dispatcher
from services.metrics.transport.grpc_server import grpc_server
from services.metrics.transport.methods import methods_of
from services.metrics.transport.rest_server import rest_server
from services.metrics.transport.spans import CallSpans

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
    """The parts that most of the service uses."""

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
        snapshot=QueueSnapshot(count_max_age_s=max_age_s),
    )


@asynccontextmanager
async def _metrics(
    settings: MetricsSettings, stopping: asyncio.Event
) -> AsyncGenerator[tuple[Background, ObservabilityServer], None]:
    authenticator = _authenticator(settings)
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings)
        registry, access = parts.registry, parts.access
        readiness = Readiness(parts.pool, parts.queues)
        observability = await stack.enter_async_context(
            _observability(settings, registry, readiness)
        )
        outbox = await stack.enter_async_context(
            open_outbox(settings, access, RetryInstruments(registry), RetrySpans(parts.tracer))
        )
        dispatcher = Dispatcher(
            methods := methods_of(),
            (
                *queries(access, parts.snapshot, settings.redaction),
                *_commands(stack, parts, outbox),
            ),
            authenticator=authenticator,
            instruments=CallInstruments(registry, methods),
            stopping=stopping,
        )
        await _listen(stack, settings, dispatcher, CallSpans(parts.tracer), readiness)
        observability.started()
        sweeper = RetrySweeper(access, outbox, stopping)
        yield _in_background(stack, sweeper.run(), *_work(parts)), observability


def _work(parts: _Parts) -> Iterator[Coroutine[Any, Any, None]]:
    """Background work for the whole life of the process."""
    settings, pool, access = parts.settings, parts.pool, parts.access
    poller = Poller(
        queues=parts.queues,
        log_reader=LogReader(pool, access),
        gauges=parts.gauges,
        snapshot=parts.snapshot,
    )
    yield poller.run(interval_s=settings.metrics_interval_s)
    if settings.rabbitmq_management_url is not None:
        yield poll_unacked(
            settings.rabbitmq_management_url.get_secret_value(),
            settings.amqp_url.get_secret_value(),
            frozenset(queue.name for queue in topology(settings.schedule).queues),
            parts.gauges,
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
        DeadLetters(access, redaction),
    )


def _commands(stack: AsyncExitStack, parts: _Parts, outbox: RetryOutbox) -> tuple[object, ...]:
    """The implementations of AdminService. Closing the stack waits for what they have begun."""

    async def waiting() -> int | None:
        depth = await parts.queues.depth_of(WORK_QUEUE, _DEPTH_TIMEOUT_S)
        return None if depth is None else depth.messages

    retries = Retries(parts.access, outbox, parts.settings.schedule.max_attempts)
    bulk_retry = BulkRetry(parts.access, retries, waiting)
    stack.push_async_callback(bulk_retry.finish, _FINISH_S)
    stack.push_async_callback(retries.finish, _FINISH_S)
    return retries, bulk_retry, Discard(parts.access), ProcessingSwitch(parts.access)


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
    readiness: Readiness,
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
    )
    await stack.enter_async_context(grpc)
    await stack.enter_async_context(rest)


def _in_background(stack: AsyncExitStack, *work: Coroutine[Any, Any, None]) -> Background:
    """The work as tasks, which end before the resources already on the stack."""
    tasks = {asyncio.create_task(one) for one in work}
    stack.push_async_callback(end, *tasks)
    return tasks


def _authenticator(settings: TokenSettings) -> Authenticator:
    try:
        keys = settings.token_keys()
    except ValueError as exc:
        # The settings checked the key file, but it changed since.
        raise CannotStartError(f"The key for tokens cannot be used: {exc}.") from exc
    return Authenticator(keys, settings.jwt_audience, settings.jwt_issuer)
