"""One attempt, from the message of a webhook to the outcome recorded in the log."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

import asyncpg

from ringback.contract.event import message_in
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.retry_schedule import RetrySchedule, attempt_of
from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from services.processor.attempt.context import (
    DUPLICATE,
    AttemptContext,
    AttemptResult,
    CallUpdate,
    Undeliverable,
    completed,
    failed,
    open_attempt,
)
from services.processor.attempt.handler_slots import HandlerSlots
from services.processor.attempt.handlers import HandlerSelection, HandlerSet
from services.processor.attempt.policy import (
    UNDELIVERABLE,
    Failure,
    SourceQueue,
    Verdict,
    dead_letter,
    decide,
)
from services.processor.attempt.run_handlers import run_handlers
from services.processor.attempt.transaction import (
    ServerRefusesError,
    TransactionLostError,
    complete_in_transaction,
)
from services.processor.builtin.voice_calls import ends_call
from services.processor.consume.message import Message, attempt_due
from services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from services.processor.instruments import ProcessorInstruments
from services.processor.log.delivery_log import DeliveryLog, RecordedAttempt
from services.processor.spans import HandlerSpan, MessageSpan

_TRANSACTION_LOST: tuple[type[BaseException], ...] = (
    *DATABASE_UNAVAILABLE_ERRORS,
    TransactionLostError,
)


class Attempts:
    """Makes attempts. An outcome is committed to the log before it is returned."""

    def __init__(
        self,
        *,
        handlers: HandlerSet,
        delivery_log: DeliveryLog,
        watch: DatabaseWatch,
        schedule: RetrySchedule,
        redaction: Redaction,
        timeout_s: float,
        slots: HandlerSlots,
        instruments: ProcessorInstruments,
    ) -> None:
        self._handlers = handlers
        self._log = delivery_log
        self._watch = watch
        self._schedule = schedule
        self._redaction = redaction
        self._timeout_s = timeout_s
        self._slots = slots
        self._instruments = instruments
        self._locks = KeyedLock()

    async def run(self, message: Message, source: SourceQueue, span: MessageSpan) -> Verdict:
        """Attempt the webhook of a message, and return what happens to the message.

        Raises what `make` raises.
        """
        context = open_attempt(message, self._redaction, span)
        if isinstance(context, Undeliverable):
            self._instruments.undeliverable(message.message_id, context.reason)
            span.failed(UNDELIVERABLE)
            return dead_letter(attempt_due(message), Failure(UNDELIVERABLE, context.reason))
        span.opened(context.envelope, context.event.call_id)
        outcome = await self.make(context, is_due=source is SourceQueue.DUE)
        if attempt_of(message.routing_key) is None:
            # A copy has a queue's name as routing key, so the broker cannot find its retry queue.
            source = SourceQueue.QUARANTINE
        return decide(outcome, source=source, attempt=context.attempt, schedule=self._schedule)

    async def make(self, context: AttemptContext, *, is_due: bool) -> AttemptOutcome:
        """Run the handlers of a webhook and record the outcome, in the span of its message.

        A redelivery runs nothing: the recorded outcome is returned again. If it arrives while its
        webhook is still in flight, for example after a lost connection, it waits for that outcome.
        A slot covers the handlers, not the commit of their outcome.
        Raises NotBegunError when a pause or a stop comes before the slot.
        Raises DatabaseUnavailableError when nothing could be recorded; the caller then requeues it.
        Raises TransactionLostError when nothing was recorded although the database is available.
        """
        job_id = context.envelope.job_id
        await self._log.ensure_partition(job_id)
        async with self._locks.acquire(job_id):
            with self._instruments.in_flight():
                async with self._slots.acquire(is_due=is_due):
                    context.started_at, started = datetime.now(UTC), perf_counter()
                    ended = await self._attempt(context)
                recorded = (
                    ended
                    if isinstance(ended, RecordedAttempt)
                    else await self._finish(context, ended)
                )
            self._instruments.attempted(context, recorded, perf_counter() - started)
            context.span.recorded(
                recorded.outcome, is_fresh=recorded.is_fresh, duplicate_of=recorded.duplicate_of
            )
            return recorded.outcome

    async def _attempt(self, context: AttemptContext) -> RecordedAttempt | AttemptResult:
        selection = self._handlers.for_type(context.envelope.event_type)
        if selection.plain:
            begun = await self._log.begin(context)
            if begun.recorded is not None:
                return RecordedAttempt(
                    begun.recorded, is_fresh=False, duplicate_of=begun.duplicate_of
                )
            if begun.duplicate_of is not None:
                return self._duplicate(selection, context)
        event = self._event(context)
        with context.handling:
            result = await self._plain(selection, event, context)
        if result.outcome is AttemptOutcome.COMPLETED and selection.transactional:
            ended = await self._in_transaction(selection, context, event, result)
            if isinstance(ended, RecordedAttempt):
                return ended
            is_duplicate = ended.outcome is AttemptOutcome.DUPLICATE
            result = replace(ended, call_update=result.call_update) if is_duplicate else ended
        return result

    async def _in_transaction(
        self,
        selection: HandlerSelection,
        context: AttemptContext,
        event: Event,
        result: AttemptResult,
    ) -> RecordedAttempt | AttemptResult:
        try:
            return await complete_in_transaction(
                self._log,
                context,
                event,
                selection.transactional,
                timeout_s=self._timeout_s,
                call_update=result.call_update,
            )
        except _TRANSACTION_LOST as exc:
            # The connection may have ended for its own reason. Only another one can find out.
            if await self._watch.is_answering():
                raise _lost(exc) from exc
            self._watch.failed(exc)
            raise DatabaseUnavailableError from exc

    async def _plain(
        self, selection: HandlerSelection, event: Event, context: AttemptContext
    ) -> AttemptResult:
        span = context.span
        if selection.plain:
            result = await run_handlers(
                selection.plain, event, timeout_s=self._timeout_s, span=span
            )
            if result.outcome is not AttemptOutcome.COMPLETED:
                return result
        return completed(_call_update(selection, _redacted(event, context), span))

    def _duplicate(self, selection: HandlerSelection, context: AttemptContext) -> AttemptResult:
        """Record a duplicate; no handler runs. A second report of a call may contain more."""
        event = self._event(context)
        if not ends_call(event.type, event.message):
            return DUPLICATE
        update = _call_update(selection, _redacted(event, context), context.span)
        return replace(DUPLICATE, call_update=update)

    async def _finish(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
        try:
            return await self._finish_as(context, result)
        except INVALID_DATA_ERRORS as exc:
            # Its values cannot be stored. That is the event's own failure, recorded as such.
            unstorable = failed(type(exc).__qualname__, "The values of the event cannot be stored.")
            return await self._finish_as(context, unstorable)

    async def _finish_as(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
        context.ended_at = datetime.now(UTC)
        # A handler saw the original, and its error may quote it.
        recorded = await self._log.finish(context, result.without(context.redacted.hidden))
        if result.error_class is not None and recorded.is_fresh:
            context.span.failed(result.error_class)
        return recorded

    def _event(self, context: AttemptContext) -> Event:
        envelope = context.envelope
        return Event(
            job_id=envelope.job_id,
            org_id=envelope.org_id,
            endpoint_id=envelope.endpoint_id,
            type=envelope.event_type,
            call_id=context.event.call_id,
            message=context.event.message,
            attempt=context.attempt,
            max_attempts=self._schedule.max_attempts,
            received_at=envelope.received_at,
            trace=context.span.context,
        )


class KeyedLock:
    """A lock per key: each caller waits until the one before it has left."""

    def __init__(self) -> None:
        self._held: dict[Hashable, asyncio.Event] = {}

    @asynccontextmanager
    async def acquire(self, key: Hashable) -> AsyncGenerator[None, None]:
        while (released := self._held.get(key)) is not None:
            await released.wait()
        self._held[key] = released = asyncio.Event()
        try:
            yield
        finally:
            del self._held[key]
            released.set()


def _lost(exc: BaseException) -> TransactionLostError:
    """The error to raise for `exc`, which came before any handler ran.

    The server is the cause, unless the data violates a constraint.
    """
    if isinstance(exc, TransactionLostError):
        return type(exc)(str(exc))
    is_of_data = isinstance(exc, asyncpg.IntegrityConstraintViolationError)
    kind = TransactionLostError if is_of_data else ServerRefusesError
    return kind(f"{type(exc).__qualname__}: {exc}")


def _redacted(event: Event, context: AttemptContext) -> Event:
    """The event without credentials, for the built-in handler: it writes to our own tables."""
    return replace(event, message=message_in(context.redacted.value))


def _call_update(selection: HandlerSelection, event: Event, span: MessageSpan) -> CallUpdate | None:
    if selection.call_update_of is None:
        return None
    handler_span = HandlerSpan(span)
    handler_span.begin(selection.call_update_of)
    update = selection.call_update_of(event)
    handler_span.end()
    return update
