"""Puts the processor together, in the order in which its parts start."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spec import Service
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import Exemplars, process_registry
from ringback.runtime.observability.server import ObservabilityServer, Ping
from ringback.runtime.process.background import run_in_background
from ringback.runtime.process.lifecycle import end_in_time
from ringback.runtime.process.settings import load
from ringback.runtime.tracing import tracing
from services.processor.attempt.attempt import Attempts
from services.processor.attempt.handlers import HandlerSet, are_abandoned, import_handlers
from services.processor.builtin import voice_calls
from services.processor.consume.consumer_group import BindingWatch, ConsumerGroup
from services.processor.consume.message_handler import MessageHandler
from services.processor.consume.pause import PauseListener
from services.processor.consume.settle import CopyPublisher, publishing_connection
from services.processor.instruments import ProcessorInstruments
from services.processor.log.database import Database, open_database
from services.processor.log.dead_letters import DeadLetterRecorder
from services.processor.log.heartbeat import Heartbeat
from services.processor.log.partitions import Housekeeping
from services.processor.settings import ProcessorSettings
from services.processor.spans import Spans

log = structlog.get_logger()


async def serve(stop: asyncio.Event) -> None:
    """Process webhooks until `stop` is set, then finish the work in flight."""
    settings = load(ProcessorSettings)
    logs.configure("processor", settings)
    end_in_time(stop, drain_timeout_s=settings.drain_timeout_s)
    async with _processor(settings, stop) as (intake, observability):
        log.info(
            LogEvent.PROCESSOR_READY, prefetch=settings.prefetch, schedule=str(settings.schedule)
        )
        await stop.wait()
        log.info(LogEvent.PROCESSOR_STOPPING)
        observability.drain()
        await intake.drain(settings.drain_timeout_s)
    log.info(LogEvent.PROCESSOR_STOPPED)
    if are_abandoned():
        # The event loop would wait for them without a limit. All our own resources are closed.
        sys.stdout.flush()
        os._exit(0)


@asynccontextmanager
async def _processor(
    settings: ProcessorSettings, stop: asyncio.Event
) -> AsyncGenerator[tuple[ConsumerGroup, ObservabilityServer], None]:
    registry = process_registry(Service.PROCESSOR)
    handlers = _handlers(settings)
    amqp_url = settings.amqp_url.get_secret_value()
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("processor"))
        spans = Spans(tracer)
        instruments = ProcessorInstruments(
            registry, settings.schedule, Exemplars(is_traced=tracer.is_on)
        )
        store = await stack.enter_async_context(open_database(settings, registry))
        link = await stack.enter_async_context(publishing_connection(amqp_url))
        publisher = CopyPublisher(link)
        intake = ConsumerGroup(amqp_url, settings.schedule, settings.prefetch, store.watch)
        instruments.watch_connection(lambda: link.is_ready and intake.is_connected)
        lanes = _lanes(settings, store, handlers, publisher, intake, instruments, spans)
        recorder = _recorder(settings, store, publisher, intake, instruments, spans)
        intake.take(work=lanes.work, quarantine=lanes.quarantine, dead_letter=recorder.take)
        pause = PauseListener(settings.database_url.get_secret_value(), intake, instruments)
        readiness = {
            **store.checks,
            "pause": pause.knows,
            "consumers": intake.answers,
            "binding": _binding(settings).is_bound,
            "publisher": publisher.answers,
        }
        observability = _observability(settings, registry, readiness)
        await stack.enter_async_context(observability)
        if settings.housekeeping:
            await stack.enter_async_context(_beside_main(_housekeeping(settings, store), stop))
        await stack.enter_async_context(_beside_main(pause.run(), stop))
        await stack.enter_async_context(
            _beside_main(_heartbeat(settings, store, intake, pause).run(), stop)
        )
        await stack.enter_async_context(intake)
        observability.started()
        yield intake, observability


def _housekeeping(settings: ProcessorSettings, store: Database) -> Coroutine[None, None, None]:
    return Housekeeping(store.pool, retention_days=settings.retention_days).run()


def _observability(
    settings: ProcessorSettings, registry: CollectorRegistry, readiness: Mapping[str, Ping]
) -> ObservabilityServer:
    return ObservabilityServer(
        host=settings.observability_host,
        port=settings.processor_observability_port,
        registry=registry,
        readiness=readiness,
    )


def _binding(settings: ProcessorSettings) -> BindingWatch:
    url = settings.rabbitmq_management_url
    return BindingWatch(
        url.get_secret_value() if url is not None else None, settings.amqp_url.get_secret_value()
    )


def _heartbeat(
    settings: ProcessorSettings, store: Database, intake: ConsumerGroup, pause: PauseListener
) -> Heartbeat:
    return Heartbeat(
        store.pool,
        prefetch=settings.prefetch,
        in_flight=lambda: intake.in_flight,
        is_paused=lambda: pause.is_paused,
    )


def _handlers(settings: ProcessorSettings) -> HandlerSet:
    built_in = [voice_calls.effects_of] if settings.voice_calls else []
    return HandlerSet(import_handlers(settings.handlers), built_in)


def _lanes(  # ruff: ignore[too-many-positional-arguments]  # the parts of the whole, each once
    settings: ProcessorSettings,
    store: Database,
    handlers: HandlerSet,
    publisher: CopyPublisher,
    intake: ConsumerGroup,
    instruments: ProcessorInstruments,
    spans: Spans,
) -> MessageHandler:
    attempts = Attempts(
        handlers=handlers,
        commits=store.commits,
        delivery_log=store.delivery_log,
        schedule=settings.schedule,
        timeout_s=settings.attempt_timeout_s,
        now=lambda: datetime.now(UTC),
        watch=store.watch,
        instruments=instruments,
    )
    return MessageHandler(
        attempts=attempts,
        schedule=settings.schedule,
        ensure_partition=store.ensure_partition,
        redaction=settings.redaction,
        publisher=publisher,
        watch=store.watch,
        alone=intake.alone,
        is_stopping=intake.is_stopping,
        on_database_away=intake.database_away,
        instruments=instruments,
        spans=spans,
    )


def _recorder(  # ruff: ignore[too-many-positional-arguments]  # the parts of the whole, each once
    settings: ProcessorSettings,
    store: Database,
    publisher: CopyPublisher,
    intake: ConsumerGroup,
    instruments: ProcessorInstruments,
    spans: Spans,
) -> DeadLetterRecorder:
    return DeadLetterRecorder(
        dead_letter_log=store.dead_letter_log,
        commits=store.dead_letter_commits,
        ensure_partition=store.ensure_partition,
        redaction=settings.redaction,
        max_attempts=settings.schedule.max_attempts,
        publisher=publisher,
        watch=store.watch,
        on_database_away=intake.database_away,
        instruments=instruments,
        spans=spans,
    )


@asynccontextmanager
async def _beside_main(
    work: Coroutine[None, None, None], stop: asyncio.Event
) -> AsyncGenerator[None, None]:
    """Run beside the main work. If it ends early, the process stops cleanly and logs why."""
    async with run_in_background(work) as task:
        task.add_done_callback(lambda _: stop.set())
        yield
