"""The composition root: builds the processor's parts in order of their dependencies."""

import asyncio
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent
from ringback.contract.telemetry.spec import Service
from ringback.contract.topology import republishing_topology
from ringback.outgoing.registry import DESTINATIONS
from ringback.runtime.amqp.publisher import Publisher
from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.forwards import ForwardTable, read_forwards
from ringback.runtime.endpoints.instruments import EndpointsFileInstruments
from ringback.runtime.endpoints.reload import Reloader
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.observability import logs
from ringback.runtime.observability.instruments import Exemplars, process_registry
from ringback.runtime.observability.server import ObservabilityServer, Ping
from ringback.runtime.observability.trace_export import tracing
from ringback.runtime.postgres.pool import is_writable, open_pool, ping
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError, end_in_time
from ringback.runtime.process.settings import load
from ringback.services.processor.attempt.attempt import Attempts
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.attempt.handlers import (
    HandlersError,
    HandlerSet,
    LoadedHandlers,
    load_handlers,
)
from ringback.services.processor.attempt.hooks import run_start_hooks, run_stop_hooks
from ringback.services.processor.attempt.policy import SourceQueue
from ringback.services.processor.attempt.result import text_of_error
from ringback.services.processor.attempt.run_handlers import has_abandoned_handlers
from ringback.services.processor.builtin import failing_forwards, voice_calls
from ringback.services.processor.builtin.forward import Forwards
from ringback.services.processor.consume.consumer_group import (
    ConsumerGroup,
    QueueHandlers,
    queues_are_bound,
)
from ringback.services.processor.consume.message_handler import AttemptHandler, QuarantineHandler
from ringback.services.processor.consume.pause import PauseListener
from ringback.services.processor.consume.settle import Settler
from ringback.services.processor.database_watch import DatabaseWatch
from ringback.services.processor.destinations import (
    DestinationInstruments,
    destinations_report,
)
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.log.dead_letters import DeadLetterLog, DeadLetterRecorder
from ringback.services.processor.log.delivery_log import DeliveryLog
from ringback.services.processor.log.heartbeat import Heartbeat
from ringback.services.processor.log.partitions import Partitions, clean_up_hourly
from ringback.services.processor.log.turns import Turns, TurnWatch
from ringback.services.processor.settings import ProcessorSettings
from ringback.services.processor.spans import Spans
from ringback.services.processor.waits.pace import ReleasePace
from ringback.services.processor.waits.sweeper import WaitSweeper, check_waits

_COMMAND_TIMEOUT_S = 10.0
"""For one statement. A commit takes milliseconds. One that takes longer than this is cancelled and
repeated: then it may wait for a lock again, but no longer for a dead connection.
"""
_PUBLISH_TIMEOUT_S = 5.0
_SHORTEST_GAP_S = 60.0
"""In addition to the timeout of an attempt: a webhook that runs must keep its turn."""

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
class Database:
    pool: asyncpg.Pool
    watch: DatabaseWatch
    delivery_log: DeliveryLog
    dead_letter_log: DeadLetterLog
    turns: Turns

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
    loaded = _load_handlers(settings)
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(tracing("processor", registry, is_global=True))
        exemplars = Exemplars(is_traced=tracer.is_on)
        instruments = ProcessorInstruments(registry, settings.schedule, exemplars)
        await stack.enter_async_context(_observed_destinations(registry))
        database = await stack.enter_async_context(open_database(settings, registry))
        database.turns.ordered_types = loaded.ordered_types()
        forwards = await stack.enter_async_context(_forwards(settings, registry, database))
        publisher = await stack.enter_async_context(_publisher(settings))
        tools = (Settler(publisher, instruments), Spans(tracer), instruments)
        consumers = _consumers(settings, loaded, database, tools, forwards)
        instruments.watch_connection(lambda: publisher.is_connected and consumers.is_connected)
        pause = PauseListener(settings.database_url.get_secret_value(), consumers, instruments)
        observability = _observability(settings, registry, database, consumers, pause, publisher)
        await stack.enter_async_context(observability)
        for work in _background_work(settings, database, consumers, pause, instruments):
            await stack.enter_async_context(_background_task(work, stop))
        sweeping = _sweeping(settings, database, publisher, instruments, pause)
        await stack.enter_async_context(sweeping)
        await stack.enter_async_context(_hooks_of(loaded))
        await stack.enter_async_context(consumers)
        observability.started()
        yield consumers, observability


@asynccontextmanager
async def _observed_destinations(registry: CollectorRegistry) -> AsyncGenerator[None, None]:
    DESTINATIONS.observe(DestinationInstruments(registry))
    try:
        yield
    finally:
        await DESTINATIONS.close()


@asynccontextmanager
async def open_database(
    settings: ProcessorSettings, registry: CollectorRegistry
) -> AsyncGenerator[Database, None]:
    """Open everything that writes to the database, also while the database is unavailable."""

    async def check() -> None:
        """Run each statement without data, to find a missing grant or migration before work."""
        await delivery_log.check()
        await dead_letter_log.check()
        await turns.check()
        if settings.voice_calls:
            await voice_calls.check(pool)
        await failing_forwards.check(pool)
        await check_waits(pool)
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
        DeliveryLog(pool, partitions, watch) as delivery_log,
        DeadLetterLog(pool, partitions, watch) as dead_letter_log,
        Turns(pool, partitions, watch) as turns,
    ):
        yield Database(pool, watch, delivery_log, dead_letter_log, turns)


def _load_handlers(settings: ProcessorSettings) -> LoadedHandlers:
    try:
        loaded = load_handlers(settings.handlers)
    except HandlersError as exc:
        raise CannotStartError(f"{exc}\nCheck them with `ringback handlers check`.") from exc
    for sentence in loaded.unknown_types():
        log.warning(LogEvent.HANDLER_TYPE_UNKNOWN, message=sentence)
    return loaded


@asynccontextmanager
async def _hooks_of(loaded: LoadedHandlers) -> AsyncGenerator[None, None]:
    """Run the handlers' hooks: before the first webhook, and after the last."""
    try:
        await run_start_hooks(loaded.on_start, exits=True)
    except HandlersError as exc:
        raise CannotStartError(str(exc)) from exc
    try:
        yield
    finally:
        for hook, error in await run_stop_hooks(loaded.on_stop):
            log.error(
                LogEvent.HANDLER_STOP_FAILED,
                hook=hook,
                reason=type(error).__name__,
                detail=text_of_error(error)[:200],
            )


@asynccontextmanager
async def _forwards(
    settings: ProcessorSettings, registry: CollectorRegistry, database: Database
) -> AsyncGenerator[Forwards, None]:
    """Keep the forwards as the endpoints file declares them."""
    file = settings.endpoints_file
    read = partial(read_forwards, file) if file is not None else None
    try:
        table = ForwardTable(read(Sources(with_signing_secrets=True)) if read else ())
    except DocumentError as exc:
        raise CannotStartError("\n".join(exc.problems)) from None
    async with AsyncExitStack() as stack:
        failing = failing_forwards.FailingForwards(database.pool, registry)
        await stack.enter_async_context(failing.running())
        forwards = Forwards(table, settings.redaction, on_end=failing.ended)
        database.delivery_log.forwards = table
        await stack.enter_async_context(forwards.running())
        if read is not None:
            instruments = EndpointsFileInstruments(registry)
            reloader = Reloader(read, forwards, instruments, with_signing_secrets=True)
            await stack.enter_async_context(reloader.running())
        yield forwards


def _consumers(
    settings: ProcessorSettings,
    loaded: LoadedHandlers,
    database: Database,
    tools: tuple[Settler, Spans, ProcessorInstruments],
    forwards: Forwards,
) -> ConsumerGroup:
    _, _, instruments = tools
    slots = HandlerSlots(settings.concurrency or settings.prefetch, prefetch=settings.prefetch)
    attempts = Attempts(
        handlers=_handler_set(settings, loaded),
        forwards=forwards,
        delivery_log=database.delivery_log,
        turns=database.turns,
        watch=database.watch,
        schedule=settings.schedule,
        redaction=settings.redaction,
        timeout_s=settings.attempt_timeout_s,
        slots=slots,
        instruments=instruments,
    )
    work, bulk, due = (
        AttemptHandler(source, *tools, attempts=attempts, watch=database.watch).handle
        for source in (SourceQueue.WORK, SourceQueue.BULK, SourceQueue.DUE)
    )
    quarantine = QuarantineHandler(*tools, attempts=attempts).handle
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
        handlers=QueueHandlers(work, bulk, due, quarantine, recorder.handle),
    )


def _handler_set(settings: ProcessorSettings, loaded: LoadedHandlers) -> HandlerSet:
    built_in = voice_calls.call_update_of if settings.voice_calls else None
    return HandlerSet(loaded.handlers, built_in)


def _observability(  # ruff: ignore[too-many-positional-arguments]  # it checks all parts
    settings: ProcessorSettings,
    registry: CollectorRegistry,
    database: Database,
    consumers: ConsumerGroup,
    pause: PauseListener,
    publisher: Publisher,
) -> ObservabilityServer:
    amqp_url, url = settings.amqp_url.get_secret_value(), settings.rabbitmq_management_url
    management_url = url.get_secret_value() if url is not None else None
    readiness: dict[str, Ping] = {
        "database": database.answers,
        "database_writable": database.is_writable,
        "pause": pause.has_answer,
        "consumers": consumers.answers,
        "binding": lambda: queues_are_bound(management_url, amqp_url),
        "publisher": publisher.is_ready,
    }
    return ObservabilityServer(
        host=settings.observability_host,
        port=settings.processor_observability_port,
        registry=registry,
        readiness=readiness,
    )


def _background_work(
    settings: ProcessorSettings,
    database: Database,
    consumers: ConsumerGroup,
    pause: PauseListener,
    instruments: ProcessorInstruments,
) -> list[Coroutine[None, None, None]]:
    heartbeat = Heartbeat(
        database.pool,
        in_flight=lambda: consumers.in_flight,
        is_paused=lambda: pause.is_paused,
        destinations=destinations_report,
    )
    turn_watch = TurnWatch(
        database.pool,
        instruments,
        may_check=lambda: (
            pause.may_process and database.watch.is_available and consumers.is_connected
        ),
        gap_s=max(settings.order_gap_s, settings.attempt_timeout_s + _SHORTEST_GAP_S),
        max_parked=settings.order_max_parked,
    )
    work = [pause.run(), heartbeat.run(), turn_watch.run()]
    if settings.housekeeping:
        work.append(clean_up_hourly(database.pool, retention_days=settings.retention_days))
    return work


def _publisher(settings: ProcessorSettings) -> Publisher:
    return Publisher(
        settings.amqp_url.get_secret_value(),
        "ringback-processor-publish",
        needed=republishing_topology(),
        timeout_s=_PUBLISH_TIMEOUT_S,
    )


def _sweeping(
    settings: ProcessorSettings,
    database: Database,
    publisher: Publisher,
    instruments: ProcessorInstruments,
    pause: PauseListener,
) -> AbstractAsyncContextManager[None]:
    """Publish what waits in PostgreSQL when it is due, while entered."""
    sweeper = WaitSweeper(
        database.pool,
        publisher,
        ReleasePace(settings.release_per_s, DESTINATIONS.free_permits),
        instruments,
        may_sweep=lambda: pause.may_process and database.watch.is_available,
    )
    database.delivery_log.on_wait = sweeper.added
    return sweeper.running()


@asynccontextmanager
async def _background_task(
    work: Coroutine[None, None, None], stop: asyncio.Event
) -> AsyncGenerator[None, None]:
    """Run `work` in the background. If it ends early, the process stops cleanly and logs why."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        await end(task)
