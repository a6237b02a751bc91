"""One attempt, from the webhook in flight to the outcome recorded in the log."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from ringback.contract.event import message_in
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from services.processor.attempting import Attempting
from services.processor.call_columns import ends_call
from services.processor.database_watch import DatabaseWatch
from services.processor.delivery import Delivery
from services.processor.delivery_log import Begun, DeliveryLog, Ended, Recorded
from services.processor.group_commit import DatabaseAwayError, GroupCommit
from services.processor.handler_connection import (
    ServerRefusesError,
    TransactionLostError,
)
from services.processor.handler_set import Chosen, HandlerSet
from services.processor.handler_span import HandlerSpan
from services.processor.message_span import MessageSpan
from services.processor.observe import Observer
from services.processor.one_at_a_time import OneAtATime
from services.processor.outcome import DUPLICATE, Effect, Outcome, completed, failed, without_hidden
from services.processor.run_handlers import run_handlers
from services.processor.transaction_attempt import complete_in_transaction


@dataclass(frozen=True, slots=True)
class Commits:
    """The group commits that combine attempts beginning or ending at the same time."""

    begin: GroupCommit[Attempting, Begun]
    finish: GroupCommit[Ended, Recorded]


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
        observer: Observer,
    ) -> None:
        self._handlers = handlers
        self._commits = commits
        self._log = delivery_log
        self._schedule = schedule
        self._timeout_s = timeout_s
        self._now = now
        self._watch = watch
        self._observer = observer
        self._turns = OneAtATime()

    async def make(self, delivery: Delivery, span: MessageSpan) -> AttemptOutcome:
        """Run the handlers of a webhook and record the outcome, in the span of its message.

        A redelivery runs nothing: the recorded outcome is returned again. If it arrives while its
        webhook is still in flight, for example after a lost connection, it waits for that outcome.
        Raises DatabaseAwayError when nothing could be recorded; the caller then requeues it.
        Raises TransactionLostError when nothing was recorded although the database is available.
        """
        async with self._turns.turn(delivery.envelope.job_id):
            attempting = Attempting(delivery, span, self._now())
            with self._observer.attempt(attempting) as observed:
                recorded = await self._attempt(attempting)
                observed.ended(recorded, max_attempts=self._schedule.max_attempts)
            span.ended(
                recorded.outcome, is_fresh=recorded.is_fresh, duplicate_of=recorded.duplicate_of
            )
            return recorded.outcome

    async def _attempt(self, attempting: Attempting) -> Recorded:
        chosen = self._handlers.for_type(attempting.delivery.envelope.event_type)
        if chosen.plain:
            begun = await self._commits.begin.submit(attempting)
            if begun.recorded is not None:
                return Recorded(begun.recorded, is_fresh=False, duplicate_of=begun.duplicate_of)
            if begun.duplicate_of is not None:
                return await self._finish(attempting, self._duplicate(chosen, attempting))
        event = self._event(attempting)
        with attempting.handling:
            outcome = await self._plain(chosen, event, attempting)
        if outcome.kind is AttemptOutcome.COMPLETED and chosen.transactional:
            result = await self._in_transaction(chosen, attempting, event, outcome)
            if isinstance(result, Recorded):
                return result
            is_duplicate = result.kind is AttemptOutcome.DUPLICATE
            outcome = replace(result, effects=outcome.effects) if is_duplicate else result
        return await self._finish(attempting, outcome)

    async def _in_transaction(
        self, chosen: Chosen, attempting: Attempting, event: Event, outcome: Outcome
    ) -> Recorded | Outcome:
        try:
            return await complete_in_transaction(
                self._log,
                attempting,
                event,
                chosen.transactional,
                now=self._now,
                timeout_s=self._timeout_s,
                effects=outcome.effects,
            )
        except _TRANSACTION_LOST as exc:
            # The connection may have ended for its own reason. Only another one can find out.
            if await self._watch.is_answering():
                raise _lost(exc) from exc
            self._watch.failed(exc)
            raise DatabaseAwayError from exc

    async def _plain(self, chosen: Chosen, event: Event, attempting: Attempting) -> Outcome:
        span = attempting.span
        if chosen.plain:
            outcome = await run_handlers(chosen.plain, event, timeout_s=self._timeout_s, span=span)
            if outcome.kind is not AttemptOutcome.COMPLETED:
                return outcome
        return completed(_effects(chosen, _redacted(event, attempting), span))

    def _duplicate(self, chosen: Chosen, attempting: Attempting) -> Outcome:
        """Record a duplicate; no handler runs. A second report of a call may contain more."""
        event = self._event(attempting)
        if not ends_call(event.type, event.message):
            return DUPLICATE
        effects = _effects(chosen, _redacted(event, attempting), attempting.span)
        return replace(DUPLICATE, effects=effects)

    async def _finish(self, attempting: Attempting, outcome: Outcome) -> Recorded:
        try:
            return await self._finish_as(attempting, outcome)
        except INVALID_DATA_ERRORS as exc:
            # The effects cannot be stored. That is the event's own failure, recorded as such.
            unstorable = failed(
                type(exc).__qualname__, "The effects of the event cannot be stored."
            )
            return await self._finish_as(attempting, unstorable)

    async def _finish_as(self, attempting: Attempting, outcome: Outcome) -> Recorded:
        # A handler saw the original, and its error may quote it.
        outcome = without_hidden(outcome, attempting.delivery.redacted.hidden)
        ended = Ended(attempting, outcome, self._now())
        recorded = await self._commits.finish.submit(ended)
        if outcome.error_class is not None and recorded.is_fresh:
            attempting.span.failed(outcome.error_class)
        return recorded

    def _event(self, attempting: Attempting) -> Event:
        delivery, envelope = attempting.delivery, attempting.delivery.envelope
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
            trace=attempting.span.context,
        )


def _lost(exc: BaseException) -> TransactionLostError:
    """Errors of a statement before any handler ran are the server's, but for those of the data."""
    if isinstance(exc, TransactionLostError):
        return type(exc)(str(exc))
    is_of_data = isinstance(exc, asyncpg.IntegrityConstraintViolationError)
    kind = TransactionLostError if is_of_data else ServerRefusesError
    return kind(f"{type(exc).__qualname__}: {exc}")


def _redacted(event: Event, attempting: Attempting) -> Event:
    """The event as it may be written to our own tables, which is the built-in handler's job."""
    return replace(event, message=message_in(attempting.delivery.redacted.value))


def _effects(chosen: Chosen, event: Event, span: MessageSpan) -> tuple[Effect, ...]:
    handling = HandlerSpan(span)
    effects: list[Effect] = []
    for effects_of in chosen.effects_of:
        handling.begin(effects_of)
        effects.extend(effects_of(event))
        handling.end()
    return tuple(effects)
