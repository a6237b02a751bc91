"""Composition root of the metrics service, in startup order."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spec import Service
from ringback.contract.topology import WORK_QUEUE
from ringback.runtime.http.connection_limits import ConnectionLimits
from ringback.runtime.http.listening import raise_open_file_limit
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import process_registry
from ringback.runtime.observability.server import ObservabilityServer
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from ringback.runtime.process.settings import load
from ringback.runtime.tracing import Tracer, tracing
from services.metrics.access import Access
from services.metrics.api.auth import Authenticator
from services.metrics.api.call_spans import CallSpans
from services.metrics.api.dispatch import Dispatcher
from services.metrics.api.methods import ADMIN_SERVICE, METRICS_SERVICE, methods_of
from services.metrics.api.observe import CallObserver
from services.metrics.changes.admin_api import AdminApi
from services.metrics.changes.retry_counter import RetryCounter
from services.metrics.changes.retry_link import retry_outbox
from services.metrics.changes.retry_outbox import RetryOutbox
from services.metrics.changes.retry_spans import RetrySpans
from services.metrics.changes.retry_sweeper import RetrySweeper, keep_pruning_retries
from services.metrics.dead_letter_count import DeadLetterCount
from services.metrics.grpc_server import grpc_server
from services.metrics.log_figures import LogFiguresReader
from services.metrics.management_api import keep_reading_unacked
from services.metrics.observe import Observer
from services.metrics.queue_depths import QueueDepths
from services.metrics.readiness import Readiness
from services.metrics.readings import Readings, count_max_age_s
from services.metrics.reads.log_state import LogState
from services.metrics.reads.metrics_api import MetricsApi
from services.metrics.reads.queue_snapshot import QueueSnapshot
from services.metrics.rest_server import rest_server
from services.metrics.settings import MetricsSettings, TokenSettings
from services.metrics.slack.telling import keep_telling
from services.metrics.stats_folding import keep_folding

log = structlog.get_logger()

_DEPTH_TIMEOUT_S = 1.0
_MOST_CONNECTIONS = 2000
"""Concurrent calls by gRPC and REST together, if the process may have so many files."""

Background = set[asyncio.Task[None]]


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
        told = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait({told, *background}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
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
    observer: Observer
    snapshot: QueueSnapshot


async def _parts(stack: AsyncExitStack, settings: MetricsSettings) -> _Parts:
    tracer = await stack.enter_async_context(tracing("metrics"))
    registry = process_registry(Service.METRICS)
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
        access=Access(pool),
        queues=queues,
        observer=Observer(registry, max_age_s=max_age_s, broker_is_up=lambda: queues.is_up),
        snapshot=QueueSnapshot(count_max_age_s=max_age_s),
    )


@asynccontextmanager
async def _metrics(
    settings: MetricsSettings, stopping: asyncio.Event
) -> AsyncGenerator[tuple[Background, ObservabilityServer], None]:
    authenticator = _authenticator(settings)
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings)
        registry, access, queues = parts.registry, parts.access, parts.queues
        readiness = Readiness(parts.pool, queues)
        observability = await stack.enter_async_context(
            _observability(settings, registry, readiness)
        )
        outbox = await stack.enter_async_context(
            retry_outbox(settings, access, RetryCounter(registry), RetrySpans(parts.tracer))
        )
        admin_api = _admin_api(settings, access, outbox, queues)
        await stack.enter_async_context(admin_api)
        implementations = {
            METRICS_SERVICE.full_name: MetricsApi(access, parts.snapshot, settings.redaction),
            ADMIN_SERVICE.full_name: admin_api,
        }
        dispatcher = _dispatcher(implementations, authenticator, registry, stopping)
        await _listen(stack, settings, dispatcher, CallSpans(parts.tracer), readiness)
        observability.started()
        sweeper = RetrySweeper(access, outbox, stopping)
        yield _in_background(stack, sweeper.keep_sweeping(), *_work(parts)), observability


def _work(parts: _Parts) -> Iterator[Coroutine[Any, Any, None]]:
    """Background work for the whole life of the process."""
    settings, pool, access = parts.settings, parts.pool, parts.access
    readings = Readings(
        queues=parts.queues,
        log_state=LogState(access),
        dead_letters=DeadLetterCount(pool),
        figures=LogFiguresReader(access),
        observer=parts.observer,
        snapshot=parts.snapshot,
    )
    yield from readings.loops(interval_s=settings.metrics_interval_s)
    yield from keep_reading_unacked(settings, parts.observer)
    yield keep_folding(pool)
    yield keep_pruning_retries(pool)
    yield keep_telling(settings, pool, access, parts.registry)


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


def _admin_api(
    settings: MetricsSettings, access: Access, outbox: RetryOutbox, queues: QueueDepths
) -> AdminApi:
    async def waiting() -> int | None:
        depth = await queues.depth_of(WORK_QUEUE, _DEPTH_TIMEOUT_S)
        return None if depth is None else depth.messages

    return AdminApi(access, outbox, waiting, max_attempts=settings.schedule.max_attempts)


async def _listen(
    stack: AsyncExitStack,
    settings: MetricsSettings,
    dispatcher: Dispatcher,
    spans: CallSpans,
    readiness: Readiness,
) -> None:
    host, drain_timeout_s = settings.metrics_host, settings.metrics_drain_timeout_s
    # Each caller of either port is a file of this process.
    most = max(1, raise_open_file_limit(_MOST_CONNECTIONS) // 2)
    grpc = grpc_server(
        host,
        settings.metrics_grpc_port,
        dispatcher,
        spans=spans,
        is_ready=readiness.both,
        drain_timeout_s=drain_timeout_s,
        max_connections=most,
    )
    rest = rest_server(
        host=host,
        port=settings.metrics_rest_port,
        dispatcher=dispatcher,
        spans=spans,
        drain_timeout_s=drain_timeout_s,
        connections=ConnectionLimits(most, on_close=lambda _: None),
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
        # The file was good a moment ago.
        raise CannotStartError(f"The key for tokens cannot be used: {exc}.") from exc
    return Authenticator(keys, settings.jwt_audience, settings.jwt_issuer)


def _dispatcher(
    implementations: Mapping[str, object],
    authenticator: Authenticator,
    registry: CollectorRegistry,
    stopping: asyncio.Event,
) -> Dispatcher:
    methods = methods_of()
    return Dispatcher(
        methods,
        implementations,
        authenticator=authenticator,
        observer=CallObserver(registry, methods),
        stopping=stopping,
    )
