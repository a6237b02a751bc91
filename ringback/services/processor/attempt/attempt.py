"""One attempt, from the message of a webhook to the outcome recorded in the log."""

import asyncio
import random
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter

import asyncpg

from ringback.contract.event import message_in
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.retry_schedule import Attempt, RetrySchedule, attempt_of
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.handlers import Event
from ringback.runtime.postgres.pool import (
    DATABASE_UNAVAILABLE_ERRORS,
    INVALID_DATA_ERRORS,
    RowRefusedError,
)
from ringback.services.processor.attempt.context import AttemptContext, Undeliverable, open_attempt
from ringback.services.processor.attempt.fair_share import slot_request
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.attempt.handlers import HandlerSelection, HandlerSet
from ringback.services.processor.attempt.policy import (
    UNDELIVERABLE,
    Acknowledge,
    Failure,
    SourceQueue,
    Verdict,
    after_wait,
    dead_letter,
    decide,
)
from ringback.services.processor.attempt.result import (
    DUPLICATE,
    AttemptResult,
    CallUpdate,
    Wait,
    completed,
    failed,
)
from ringback.services.processor.attempt.run_handlers import run_handlers
from ringback.services.processor.attempt.transaction import (
    ServerRefusesError,
    TransactionLostError,
    complete_in_transaction,
)
from ringback.services.processor.builtin.forward import Forwards
from ringback.services.processor.builtin.voice_calls import ends_call
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.log.delivery_log import DeliveryLog, RecordedAttempt
from ringback.services.processor.log.forward_rows import TO_FORWARD, forwards_of
from ringback.services.processor.log.turns import Turns
from ringback.services.processor.spans import HandlerSpan, MessageSpan

_Ended = RecordedAttempt | AttemptResult | Wait
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
        forwards: Forwards,
        delivery_log: DeliveryLog,
        turns: Turns,
        watch: DatabaseWatch,
        schedule: RetrySchedule,
        redaction: Redaction,
        timeout_s: float,
        slots: HandlerSlots,
        instruments: ProcessorInstruments,
    ) -> None:
        self._handlers = handlers
        self._forwards = forwards
        self._log = delivery_log
        self._turns = turns
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
        context = open_attempt(message, self._redaction, span, self._schedule)
        if isinstance(context, Undeliverable):
            self._instruments.undeliverable(message.message_id, context.reason)
            span.failed(UNDELIVERABLE)
            return dead_letter(attempt_due(message), Failure(UNDELIVERABLE, context.reason))
        span.opened(context.envelope, context.event.call_id)
        made = await self.make(context, source)
        if isinstance(made, Wait) or made.wait is not None:
            return Acknowledge()
        if attempt_of(message.routing_key) is None:
            # A copy has a queue's name as routing key, so the broker cannot find its retry queue.
            source = SourceQueue.QUARANTINE
        if not made.is_fresh:
            context.schedule = self._selection(context).longest_schedule(context.schedule)
        step = self._next_step(context, made.outcome, source)
        if isinstance(step, Wait):
            # The wait committed with the attempt, unless the retry schedule was another one then.
            await self._log.hold(context, step, Attempt(context.attempt + 1))
            return Acknowledge()
        return step

    def _next_step(
        self, context: AttemptContext, outcome: AttemptOutcome, source: SourceQueue
    ) -> Verdict | Wait:
        return decide(
            outcome,
            source=source,
            attempt=context.attempt,
            schedule=context.schedule,
            bound=self._schedule,
            jitter=random.random(),  # ruff: ignore[suspicious-non-cryptographic-random-usage]  # spreads load
        )

    async def make(self, context: AttemptContext, source: SourceQueue) -> RecordedAttempt | Wait:
        """Run the handlers of a webhook and record the outcome, in the span of its message.

        A redelivery runs nothing: the recorded outcome is returned again. If it arrives while its
        webhook is still in flight, for example after a lost connection, it waits for that outcome.
        A slot covers the handlers, not the commit of their outcome. Returns a wait that was
        committed if this was no attempt.
        Raises NotBegunError when a pause or a stop comes before the slot, and ShareExceededError
        when it should wait elsewhere.
        Raises DatabaseUnavailableError when nothing could be recorded; the caller then requeues it.
        Raises TransactionLostError when nothing was recorded although the database is available.
        """
        job_id = context.envelope.job_id
        request = slot_request(source, context.envelope)
        await self._log.ensure_partition(job_id)
        async with self._locks.acquire(job_id):
            with self._instruments.in_flight():
                started = perf_counter()
                selection = self._selection(context)
                # Before the slot: what arrived first is first, and what has to wait takes no slot.
                ended: _Ended | None = await self._take_turn(selection, context)
                if ended is None:
                    async with self._slots.acquire(request):
                        context.started_at, started = datetime.now(UTC), perf_counter()
                        ended = await self._attempt(selection, context)
                    if isinstance(ended, Wait):
                        ended = await self._hold(context, ended)
                if isinstance(ended, AttemptResult):
                    ended = await self._finish(context, ended)
            if isinstance(ended, Wait):
                self._instruments.waiting(context, ended)
                context.span.waits(ended)
                return ended
            self._instruments.attempted(context, ended, perf_counter() - started)
            if ended.has_given_turn:
                self._log.on_wait(Wait(WaitReason.ORDER, 0))
            if ended.wait is not None:
                self._instruments.retry_scheduled(context.attempt)
                self._instruments.waiting(context, ended.wait)
                context.span.waits(ended.wait)
            if ended.is_fresh and forwards_of(context, self._forwards.table):
                self._log.on_wait(TO_FORWARD)
            context.span.recorded(
                ended.outcome, is_fresh=ended.is_fresh, duplicate_of=ended.duplicate_of
            )
            return ended

    async def _hold(self, context: AttemptContext, wait: Wait) -> _Ended:
        """Commit a wait without an attempt; or return the outcome that was recorded meanwhile."""
        counted = after_wait(wait, context.message.free_failures)
        if isinstance(counted, AttemptResult):
            return counted
        try:
            recorded = await self._log.hold(context, wait, context.attempt)
        except INVALID_DATA_ERRORS as exc:
            return _unstorable(exc)
        return wait if recorded is None else RecordedAttempt(recorded, is_fresh=False)

    def _selection(self, context: AttemptContext) -> HandlerSelection:
        if context.envelope.forward is not None:
            return self._forwards.selection(context)
        return self._handlers.for_type(context.envelope.event_type)

    async def _take_turn(
        self, selection: HandlerSelection, context: AttemptContext
    ) -> Wait | AttemptResult | None:
        """Take the turn of an ordered webhook. Returns the wait for it, which is committed."""
        if not selection.is_ordered or context.event.call_id is None:
            return None
        context.order_key = context.event.call_id
        try:
            return await self._turns.take(context)
        except INVALID_DATA_ERRORS as exc:
            return _unstorable(exc)

    async def _attempt(self, selection: HandlerSelection, context: AttemptContext) -> _Ended:
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
        if isinstance(result, Wait):
            return result
        if result.outcome is AttemptOutcome.COMPLETED and selection.transactional:
            ended = await self._in_transaction(selection, context, event, result)
            if not isinstance(ended, AttemptResult):
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
    ) -> _Ended:
        try:
            return await complete_in_transaction(
                self._log,
                context,
                event,
                selection,
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
    ) -> AttemptResult | Wait:
        span = context.span
        if selection.plain:
            result = await run_handlers(
                selection.plain,
                event,
                timeout_s=selection.timeout_s or self._timeout_s,
                watch=HandlerSpan(span),
                schedules=selection.schedules,
            )
            if isinstance(result, Wait) or result.outcome is not AttemptOutcome.COMPLETED:
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
            return await self._finish_as(context, _unstorable(exc))

    async def _finish_as(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
        context.ended_at = datetime.now(UTC)
        context.schedule = result.schedule or context.schedule
        if result.outcome is AttemptOutcome.FAILED and result.wait is None:
            step = self._next_step(context, result.outcome, SourceQueue.WORK)
            result = replace(result, wait=step if isinstance(step, Wait) else None)
        # A handler saw the original, and its error may quote it.
        recorded = await self._log.finish(context, result.without(context.redacted.hidden))
        if result.error_class is None or not recorded.is_fresh:
            return recorded
        context.span.failed(result.error_class)
        return recorded._replace(error_class=result.error_class)

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
            max_attempts=context.schedule.max_attempts,
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


def _unstorable(exc: BaseException) -> AttemptResult:
    """PostgreSQL cannot store the event's values, so the attempt has failed."""
    is_refused = isinstance(exc, RowRefusedError)
    text = str(exc) if is_refused else "The values of the event cannot be stored."
    return failed(type(exc).__qualname__, text)


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
