"""One attempt, from the webhook in flight to the outcome recorded in the log."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from ringback.contract.event import message_in
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from services.processor.attempt.context import (
    DUPLICATE,
    AttemptContext,
    Effect,
    Outcome,
    completed,
    failed,
    without_hidden,
)
from services.processor.attempt.handler_connection import (
    ServerRefusesError,
    TransactionLostError,
)
from services.processor.attempt.handlers import HandlerSelection, HandlerSet, run_handlers
from services.processor.attempt.transaction import complete_in_transaction
from services.processor.builtin.voice_calls import ends_call
from services.processor.consume.database_watch import DatabaseWatch
from services.processor.consume.message import Delivery
from services.processor.instruments import ProcessorInstruments
from services.processor.log.commit_batcher import CommitBatcher, DatabaseUnavailableError
from services.processor.log.delivery_log import BeginResult, DeliveryLog, Ended, RecordedAttempt
from services.processor.spans import HandlerSpan, MessageSpan


@dataclass(frozen=True, slots=True)
class Commits:
    """The group commits that combine attempts beginning or ending at the same time."""

    begin: CommitBatcher[AttemptContext, BeginResult]
    finish: CommitBatcher[Ended, RecordedAttempt]


_TRANSACTION_LOST: tuple[type[BaseException], ...] = (
    *DATABASE_UNAVAILABLE_ERRORS,
    TransactionLostError,
)


class Attempts:
    """Make attempts. An outcome is committed to the log before it is returned."""

    def __init__(
        self,
        *,
        handlers: HandlerSet,
        commits: Commits,
        delivery_log: DeliveryLog,
        schedule: RetrySchedule,
        timeout_s: float,
        now: Callable[[], datetime],
        watch: DatabaseWatch,
        instruments: ProcessorInstruments,
    ) -> None:
        self._handlers = handlers
        self._commits = commits
        self._log = delivery_log
        self._schedule = schedule
        self._timeout_s = timeout_s
        self._now = now
        self._watch = watch
        self._instruments = instruments
        self._turns = KeyedLock()

    async def make(self, delivery: Delivery, span: MessageSpan) -> AttemptOutcome:
        """Run the handlers of a webhook and record the outcome, in the span of its message.

        A redelivery runs nothing: the recorded outcome is returned again. If it arrives while its
        webhook is still in flight, for example after a lost connection, it waits for that outcome.
        Raises DatabaseUnavailableError when nothing could be recorded; the caller then requeues it.
        Raises TransactionLostError when nothing was recorded although the database is available.
        """
        async with self._turns.acquire(delivery.envelope.job_id):
            context = AttemptContext(delivery, span, self._now())
            with self._instruments.attempt(context) as observed:
                recorded = await self._attempt(context)
                observed.ended(recorded, max_attempts=self._schedule.max_attempts)
            span.ended(
                recorded.outcome, is_fresh=recorded.is_fresh, duplicate_of=recorded.duplicate_of
            )
            return recorded.outcome

    async def _attempt(self, context: AttemptContext) -> RecordedAttempt:
        selection = self._handlers.for_type(context.delivery.envelope.event_type)
        if selection.plain:
            begun = await self._commits.begin.submit(context)
            if begun.recorded is not None:
                return RecordedAttempt(
                    begun.recorded, is_fresh=False, duplicate_of=begun.duplicate_of
                )
            if begun.duplicate_of is not None:
                return await self._finish(context, self._duplicate(selection, context))
        event = self._event(context)
        with context.handling:
            outcome = await self._plain(selection, event, context)
        if outcome.kind is AttemptOutcome.COMPLETED and selection.transactional:
            result = await self._in_transaction(selection, context, event, outcome)
            if isinstance(result, RecordedAttempt):
                return result
            is_duplicate = result.kind is AttemptOutcome.DUPLICATE
            outcome = replace(result, effects=outcome.effects) if is_duplicate else result
        return await self._finish(context, outcome)

    async def _in_transaction(
        self, selection: HandlerSelection, context: AttemptContext, event: Event, outcome: Outcome
    ) -> RecordedAttempt | Outcome:
        try:
            return await complete_in_transaction(
                self._log,
                context,
                event,
                selection.transactional,
                now=self._now,
                timeout_s=self._timeout_s,
                effects=outcome.effects,
            )
        except _TRANSACTION_LOST as exc:
            # The connection may have ended for its own reason. Only another one can find out.
            if await self._watch.is_answering():
                raise _lost(exc) from exc
            self._watch.failed(exc)
            raise DatabaseUnavailableError from exc

    async def _plain(
        self, selection: HandlerSelection, event: Event, context: AttemptContext
    ) -> Outcome:
        span = context.span
        if selection.plain:
            outcome = await run_handlers(
                selection.plain, event, timeout_s=self._timeout_s, span=span
            )
            if outcome.kind is not AttemptOutcome.COMPLETED:
                return outcome
        return completed(_effects(selection, _redacted(event, context), span))

    def _duplicate(self, selection: HandlerSelection, context: AttemptContext) -> Outcome:
        """Record a duplicate; no handler runs. A second report of a call may contain more."""
        event = self._event(context)
        if not ends_call(event.type, event.message):
            return DUPLICATE
        effects = _effects(selection, _redacted(event, context), context.span)
        return replace(DUPLICATE, effects=effects)

    async def _finish(self, context: AttemptContext, outcome: Outcome) -> RecordedAttempt:
        try:
            return await self._finish_as(context, outcome)
        except INVALID_DATA_ERRORS as exc:
            # The effects cannot be stored. That is the event's own failure, recorded as such.
            unstorable = failed(
                type(exc).__qualname__, "The effects of the event cannot be stored."
            )
            return await self._finish_as(context, unstorable)

    async def _finish_as(self, context: AttemptContext, outcome: Outcome) -> RecordedAttempt:
        # A handler saw the original, and its error may quote it.
        outcome = without_hidden(outcome, context.delivery.redacted.hidden)
        ended = Ended(context, outcome, self._now())
        recorded = await self._commits.finish.submit(ended)
        if outcome.error_class is not None and recorded.is_fresh:
            context.span.failed(outcome.error_class)
        return recorded

    def _event(self, context: AttemptContext) -> Event:
        delivery, envelope = context.delivery, context.delivery.envelope
        return Event(
            job_id=envelope.job_id,
            org_id=envelope.org_id,
            endpoint_id=envelope.endpoint_id,
            type=envelope.event_type,
            call_id=delivery.event.call_id,
            message=delivery.event.message,
            attempt=delivery.attempt,
            max_attempts=self._schedule.max_attempts,
            received_at=envelope.received_at,
            trace=context.span.context,
        )


def _lost(exc: BaseException) -> TransactionLostError:
    """Errors of a statement before any handler ran are the server's, but for those of the data."""
    if isinstance(exc, TransactionLostError):
        return type(exc)(str(exc))
    is_of_data = isinstance(exc, asyncpg.IntegrityConstraintViolationError)
    kind = TransactionLostError if is_of_data else ServerRefusesError
    return kind(f"{type(exc).__qualname__}: {exc}")


def _redacted(event: Event, context: AttemptContext) -> Event:
    """The event as it may be written to our own tables, which is the built-in handler's job."""
    return replace(event, message=message_in(context.delivery.redacted.value))


def _effects(selection: HandlerSelection, event: Event, span: MessageSpan) -> tuple[Effect, ...]:
    handling = HandlerSpan(span)
    effects: list[Effect] = []
    for effects_of in selection.effects_of:
        handling.begin(effects_of)
        effects.extend(effects_of(event))
        handling.end()
    return tuple(effects)


class KeyedLock:
    """A lock per key: each caller waits until the one before it has left."""

    def __init__(self) -> None:
        self._left: dict[Hashable, asyncio.Event] = {}

    @asynccontextmanager
    async def acquire(self, key: Hashable) -> AsyncGenerator[None, None]:
        while (left := self._left.get(key)) is not None:
            await left.wait()
        self._left[key] = left = asyncio.Event()
        try:
            yield
        finally:
            del self._left[key]
            left.set()
