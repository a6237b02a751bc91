"""One attempt in a real database, as a processor makes it, without a broker."""

import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from asyncpg.connection import LoggedQuery
from prometheus_client import CollectorRegistry

from ringback.contract.envelope import Envelope
from ringback.contract.retry_schedule import Attempt, RetrySchedule, routing_key
from ringback.contract.topology import WORK_QUEUE
from ringback.handlers import Event, Handler
from ringback.runtime.endpoints.forwards import ForwardTable
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.runtime.postgres.queries import load as load_query
from ringback.runtime.process.settings import load
from ringback.services.processor.app import Database, open_database
from ringback.services.processor.attempt.attempt import Attempts
from ringback.services.processor.attempt.context import AttemptContext, open_attempt
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.attempt.handlers import HandlerSet
from ringback.services.processor.attempt.policy import SourceQueue
from ringback.services.processor.attempt.result import AttemptResult, Wait
from ringback.services.processor.builtin import voice_calls
from ringback.services.processor.builtin.forward import Forwards
from ringback.services.processor.consume.message import Message
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.settings import ProcessorSettings
from ringback.services.processor.spans import Spans
from ringback.testing.recorder import Effect

_ROLE = "ringback_processor"


async def attempt_in_database(
    handlers: HandlerSet,
    event: Event,
    body: bytes,
    *,
    schedule: RetrySchedule,
    timeout_s: float,
    database_url: str,
) -> tuple[list[Effect], AttemptResult | Wait]:
    """Make an attempt with the rights of the processor's role, and return what was recorded."""
    effects: list[Effect] = []
    settings = _settings(database_url, schedule, timeout_s)
    selection = handlers.for_type(event.type)
    observed = HandlerSet(
        [*selection.plain, *(_observed(handler, effects) for handler in selection.transactional)],
        voice_calls.call_update_of,
    )
    async with _attempts(settings, observed) as (attempts, database):
        context = _context(event, body, settings)
        made = await attempts.make(context, SourceQueue.WORK)
        if isinstance(made, Wait):
            return [], made
        recorded = await database.pool.fetchrow(
            load_query("ringback.testing", "recorded_error.sql"), event.job_id, event.attempt
        )
    error_class, error_message = recorded or (None, None)
    return effects, AttemptResult(
        made.outcome, error_class, error_message, schedule=context.schedule
    )


@asynccontextmanager
async def _attempts(
    settings: ProcessorSettings, handlers: HandlerSet
) -> AsyncGenerator[tuple[Attempts, Database], None]:
    registry = CollectorRegistry()
    async with open_database(settings, registry) as database:
        yield (
            Attempts(
                handlers=handlers,
                forwards=Forwards(ForwardTable(), settings.redaction),
                delivery_log=database.delivery_log,
                turns=database.turns,
                watch=database.watch,
                schedule=settings.schedule,
                redaction=settings.redaction,
                timeout_s=settings.attempt_timeout_s,
                slots=HandlerSlots(1),
                instruments=ProcessorInstruments(
                    registry, settings.schedule, Exemplars(is_traced=False)
                ),
            ),
            database,
        )


def _settings(database_url: str, schedule: RetrySchedule, timeout_s: float) -> ProcessorSettings:
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    query.setdefault("role", _ROLE)
    return load(
        ProcessorSettings,
        {
            "RINGBACK_DATABASE_URL": urlunsplit(parts._replace(query=urlencode(query))),
            "RINGBACK_DATABASE_POOL_MIN": "0",
            "RINGBACK_DATABASE_WAIT_S": "10",
            # Nothing connects to it.
            "RINGBACK_AMQP_URL": "amqp://127.0.0.1/",
            "RINGBACK_RETRY_SCHEDULE": str(schedule),
            "RINGBACK_ATTEMPT_TIMEOUT_S": str(timeout_s),
        },
    )


def _context(event: Event, body: bytes, settings: ProcessorSettings) -> AttemptContext:
    envelope = Envelope(
        job_id=event.job_id,
        event_type=event.type,
        org_id=event.org_id,
        endpoint_id=event.endpoint_id,
        received_at=event.received_at,
        gateway_instance_id=uuid4(),
        trace=event.trace,
    )
    message = Message(
        body=body,
        routing_key=routing_key(Attempt(event.attempt)),
        message_id=str(event.job_id),
        type=event.type,
        headers=envelope.headers(),
    )
    span = Spans(NO_TRACES).begin(message, WORK_QUEUE)
    context = open_attempt(message, settings.redaction, span, settings.schedule)
    assert isinstance(context, AttemptContext)
    return context


def _observed(handler: Handler, effects: list[Effect]) -> Handler:
    def record(query: LoggedQuery) -> None:
        if query.exception is None:
            effects.append(Effect(query.query, tuple(query.args)))

    @functools.wraps(handler)
    async def observing(event: Event, connection: Any) -> None:
        with connection.query_logger(record):
            await handler(event, connection)

    return observing
