"""The composition root: builds the processor's parts in order of their dependencies."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spec import Service
from ringback.contract.topology import DEAD
from ringback.runtime.amqp.publisher import ConfirmedPublisher
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import Exemplars, process_registry
from ringback.runtime.observability.server import ObservabilityServer, Ping
from ringback.runtime.observability.trace_export import tracing
from ringback.runtime.postgres.pool import is_writable, open_pool, ping
from ringback.runtime.process.background import run_in_background
from ringback.runtime.process.lifecycle import end_in_time
from ringback.runtime.process.settings import load
from services.processor.attempt.attempt import Attempts
from services.processor.attempt.handler_slots import HandlerSlots
from services.processor.attempt.handlers import HandlerSet, import_handlers
from services.processor.attempt.policy import SourceQueue
from services.processor.attempt.run_handlers import has_abandoned_handlers
from services.processor.builtin import voice_calls
from services.processor.consume.consumer_group import ConsumerGroup, QueueHandlers, queues_are_bound
from services.processor.consume.message_handler import AttemptHandler, QuarantineHandler
from services.processor.consume.pause import PauseListener
from services.processor.consume.settle import Settler
from services.processor.database_watch import DatabaseWatch
from services.processor.instruments import ProcessorInstruments
from services.processor.log.dead_letters import DeadLetterLog, DeadLetterRecorder
from services.processor.log.delivery_log import DeliveryLog
from services.processor.log.heartbeat import Heartbeat
from services.processor.log.partitions import Partitions, clean_up_hourly
from services.processor.settings import ProcessorSettings
from services.processor.spans import Spans

_COMMAND_TIMEOUT_S = 10.0
"""A commit takes milliseconds. One that exceeds this is cancelled and repeated, so it can
wait longer for a lock, but not for a dead connection.
"""
_PUBLISH_TIMEOUT_S = 5.0

log = structlog.get_logger()


async def serve(stop: asyncio.Event) -> None:
    """Process webhooks until `stop` is set, then finish the work in flight."""
    settings = load(ProcessorSettings)
    log_writer = logs.configure("processor", settings)
    end_in_time(stop, drain_timeout_s=settings.drain_timeout_s)
    async with _processor(settings, stop) as (consumers, observability):
        log.info(
            LogEvent.PROCESSOR_READY, prefetch=settings.prefetch, schedule=str(settings.schedule)
        )
        await stop.wait()
        log.info(LogEvent.PROCESSOR_STOPPING)
        observability.drain()
        await consumers.drain(settings.drain_timeout_s)
    log.info(LogEvent.PROCESSOR_STOPPED)
    if has_abandoned_handlers():
        # The event loop would wait for them without a limit. All our own resources are closed.
        log_writer.write_now()
        os._exit(0)


@dataclass(frozen=True, slots=True)
class _Database:
    pool: asyncpg.Pool
    watch: DatabaseWatch
    delivery_log: DeliveryLog
    dead_letter_log: DeadLetterLog

    async def answers(self) -> bool:
        """Whether the database answers, and lets us do our work."""
        return await ping(self.pool) and not self.watch.is_setup_incomplete

    async def is_writable(self) -> bool:
        return await is_writable(self.pool)


@asynccontextmanager
async def _processor(
    settings: ProcessorSettings, stop: asyncio.Event
) -> AsyncGenerator[tuple[ConsumerGroup, ObservabilityServer], None]:
    registry = process_registry(Service.PROCESSOR)
    handlers = _handlers(settings)
    amqp_url = settings.amqp_url.get_secret_value()
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("processor", registry, is_global=True))
        instruments = ProcessorInstruments(
            registry, settings.schedule, Exemplars(is_traced=tracer.is_on)
        )
        database = await stack.enter_async_context(_open_database(settings, registry))
        publisher = await stack.enter_async_context(
            ConfirmedPublisher(amqp_url, "ringback-processor-publish", timeout_s=_PUBLISH_TIMEOUT_S)
        )
        consumers = _consumers(
            settings,
            handlers,
            database,
            Settler(publisher, instruments),
            Spans(tracer),
            instruments,
        )
        instruments.watch_connection(lambda: publisher.is_ready and consumers.is_connected)
        pause = PauseListener(settings.database_url.get_secret_value(), consumers, instruments)
        observability = _observability(settings, registry, database, consumers, pause, publisher)
        await stack.enter_async_context(observability)
        for work in _background_work(settings, database, consumers, pause):
            await stack.enter_async_context(_background_task(work, stop))
        await stack.enter_async_context(consumers)
        observability.started()
        yield consumers, observability


@asynccontextmanager
async def _open_database(
    settings: ProcessorSettings, registry: CollectorRegistry
) -> AsyncGenerator[_Database, None]:
    """Everything that writes to the database. Opens while the database is unavailable, too."""

    async def check() -> None:
        """Run each statement of the work without data, so that any refusal shows now."""
        await delivery_log.check()
        await dead_letter_log.check()
        if settings.voice_calls:
            await voice_calls.check(pool)
        await partitions.refresh()

    watch = DatabaseWatch(check, wait_s=settings.database_wait_s)
    async with (
        open_pool(
            settings,
            "ringback-processor",
            registry,
            command_timeout_s=_COMMAND_TIMEOUT_S,
            # A transactional handler may be idle in its transaction until it is cancelled.
            idle_in_transaction_s=settings.attempt_timeout_s + _COMMAND_TIMEOUT_S,
        ) as pool,
        Partitions(pool, watch, wait_s=settings.database_wait_s) as partitions,
        DeliveryLog(
            pool, partitions, watch, max_attempts=settings.schedule.max_attempts
        ) as delivery_log,
        DeadLetterLog(pool, partitions, watch) as dead_letter_log,
    ):
        yield _Database(pool, watch, delivery_log, dead_letter_log)


def _handlers(settings: ProcessorSettings) -> HandlerSet:
    built_in = voice_calls.call_update_of if settings.voice_calls else None
    return HandlerSet(import_handlers(settings.handlers), built_in)


def _consumers(  # ruff: ignore[too-many-positional-arguments]  # the parts of the whole, each once
    settings: ProcessorSettings,
    handlers: HandlerSet,
    database: _Database,
    settler: Settler,
    spans: Spans,
    instruments: ProcessorInstruments,
) -> ConsumerGroup:
    slots = HandlerSlots(settings.concurrency or settings.prefetch)
    attempts = Attempts(
        handlers=handlers,
        delivery_log=database.delivery_log,
        watch=database.watch,
        schedule=settings.schedule,
        redaction=settings.redaction,
        timeout_s=settings.attempt_timeout_s,
        slots=slots,
        instruments=instruments,
    )
    tools = (settler, spans, instruments)
    work, due = (
        AttemptHandler(source, *tools, attempts=attempts, watch=database.watch)
        for source in (SourceQueue.WORK, SourceQueue.DUE)
    )
    quarantine = QuarantineHandler(*tools, attempts=attempts)
    recorder = DeadLetterRecorder(
        *tools,
        dead_letter_log=database.dead_letter_log,
        redaction=settings.redaction,
        max_attempts=settings.schedule.max_attempts,
    )
    return ConsumerGroup(
        settings.amqp_url.get_secret_value(),
        settings.schedule,
        database.watch,
        prefetch=settings.prefetch,
        slots=slots,
        handlers=QueueHandlers(work.handle, due.handle, quarantine.handle, recorder.handle),
    )


def _observability(  # ruff: ignore[too-many-positional-arguments]  # as above
    settings: ProcessorSettings,
    registry: CollectorRegistry,
    database: _Database,
    consumers: ConsumerGroup,
    pause: PauseListener,
    publisher: ConfirmedPublisher,
) -> ObservabilityServer:
    amqp_url, url = settings.amqp_url.get_secret_value(), settings.rabbitmq_management_url
    management_url = url.get_secret_value() if url is not None else None
    readiness: dict[str, Ping] = {
        "database": database.answers,
        "database_writable": database.is_writable,
        "pause": pause.has_answer,
        "consumers": consumers.answers,
        "binding": lambda: queues_are_bound(management_url, amqp_url),
        "publisher": lambda: publisher.answers(DEAD),
    }
    return ObservabilityServer(
        host=settings.observability_host,
        port=settings.processor_observability_port,
        registry=registry,
        readiness=readiness,
    )


def _background_work(
    settings: ProcessorSettings, database: _Database, consumers: ConsumerGroup, pause: PauseListener
) -> list[Coroutine[None, None, None]]:
    heartbeat = Heartbeat(
        database.pool,
        prefetch=settings.prefetch,
        in_flight=lambda: consumers.in_flight,
        is_paused=lambda: pause.is_paused,
    )
    work = [pause.run(), heartbeat.run()]
    if settings.housekeeping:
        work.append(clean_up_hourly(database.pool, retention_days=settings.retention_days))
    return work


@asynccontextmanager
async def _background_task(
    work: Coroutine[None, None, None], stop: asyncio.Event
) -> AsyncGenerator[None, None]:
    """Run `work` in the background. If it ends early, the process stops cleanly and logs why."""
    async with run_in_background(work) as task:
        task.add_done_callback(lambda _: stop.set())
        yield
