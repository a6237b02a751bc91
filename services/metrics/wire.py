"""Puts the metrics service together, in the order in which it comes to life."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from ringback.runtime import logs
from ringback.runtime.exposition import Exposition
from ringback.runtime.postgres import open_pool
from ringback.runtime.settings import load
from services.metrics.dead_letter_count import DeadLetterCount
from services.metrics.grpc_server import grpc_server
from services.metrics.observe import Observer
from services.metrics.queue_depths import QueueDepths
from services.metrics.readiness import Readiness
from services.metrics.readings import READ_TIMEOUT_S, keep_reading
from services.metrics.settings import MetricsSettings

log = structlog.get_logger()


async def serve(stop: asyncio.Event) -> None:
    """Tell where the webhooks are until `stop` is set, then finish the calls in hand."""
    settings = load(MetricsSettings)
    logs.configure("metrics", settings)
    async with _metrics(settings) as (reading, exposition):
        log.info("metrics.ready", grpc_port=settings.metrics_grpc_port)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, reading}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        log.info("metrics.stopping")
        exposition.drain()
        if reading.done():
            reading.result()
    log.info("metrics.stopped")


@asynccontextmanager
async def _metrics(
    settings: MetricsSettings,
) -> AsyncGenerator[tuple[asyncio.Task[None], Exposition], None]:
    registry = CollectorRegistry()
    amqp_url = settings.amqp_url.get_secret_value()
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings, "ringback-metrics"))
        queues = await stack.enter_async_context(QueueDepths(amqp_url, settings.ladder))
        readiness = Readiness(pool, queues)
        observer = _observer(settings, registry, queues)
        exposition = Exposition(
            host=settings.exposition_host,
            port=settings.metrics_exposition_port,
            registry=registry,
            readiness={"database": readiness.database, "broker": readiness.broker},
        )
        await stack.enter_async_context(exposition)
        server = grpc_server(
            f"{settings.metrics_host}:{settings.metrics_grpc_port}",
            is_ready=readiness.both,
            drain_timeout_s=settings.metrics_drain_timeout_s,
        )
        await stack.enter_async_context(server)
        reading = asyncio.create_task(
            keep_reading(
                queues, DeadLetterCount(pool), observer, interval_s=settings.metrics_interval_s
            )
        )
        stack.callback(reading.cancel)
        yield reading, exposition


def _observer(
    settings: MetricsSettings, registry: CollectorRegistry, queues: QueueDepths
) -> Observer:
    return Observer(
        registry,
        # One reading may fail without the gauge going away; two in a row may not.
        max_age_s=2 * (settings.metrics_interval_s + READ_TIMEOUT_S),
        broker_is_up=lambda: queues.is_up,
    )
