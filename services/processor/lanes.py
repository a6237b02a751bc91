"""Handle a message until it is settled, for the two queues whose webhooks are attempted."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.redaction.redaction import Redaction
from ringback.contract.retry_schedule import RetrySchedule, attempt_of
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import QUARANTINE_QUEUE, WORK_QUEUE
from services.processor.attempt import Attempts
from services.processor.database_watch import DatabaseWatch
from services.processor.delivery import (
    Message,
    Undeliverable,
    attempt_due,
    open_delivery,
)
from services.processor.group_commit import DatabaseAwayError
from services.processor.handler_connection import ServerRefusesError, TransactionLostError
from services.processor.log_days import NeedDay
from services.processor.message_span import MessageSpan
from services.processor.observe import Observer
from services.processor.policy import (
    CRASHED,
    MAX_REQUEUES,
    UNDELIVERABLE,
    Acknowledge,
    Failure,
    Forward,
    Lane,
    Verdict,
    bury,
    decide,
    failure_of,
    give_up_turn,
    is_hopeless,
    is_quarantined,
    is_worn,
    renew,
    set_aside,
)
from services.processor.settle import Publisher, give_back, give_back_after_a_bug, settle
from services.processor.spans import Spans

_LAST_WORD_S = 3.0

log = structlog.get_logger()

Alone = Callable[[], AbstractAsyncContextManager[None]]
"""While it is entered, this process runs nothing else."""


def message_of(incoming: AbstractIncomingMessage) -> Message:
    return Message(
        body=incoming.body,
        routing_key=incoming.routing_key or "",
        message_id=incoming.message_id,
        type=incoming.type,
        headers=incoming.headers,
        exchange=incoming.exchange or "",
    )


class Lanes:
    def __init__(
        self,
        *,
        attempts: Attempts,
        schedule: RetrySchedule,
        need_day: NeedDay,
        redaction: Redaction,
        publisher: Publisher,
        watch: DatabaseWatch,
        alone: Alone,
        is_stopping: Callable[[], bool],
        on_database_away: Callable[[], Awaitable[None]],
        observer: Observer,
        spans: Spans,
    ) -> None:
        self._attempts = attempts
        self._schedule = schedule
        self._need_day = need_day
        self._redaction = redaction
        self._publisher = publisher
        self._watch = watch
        self._alone = alone
        self._is_stopping = is_stopping
        self._on_database_away = on_database_away
        self._observer = observer
        self._spans = spans

    async def work(self, incoming: AbstractIncomingMessage) -> None:
        """Attempt a webhook, or quarantine it if it may be what kills the process."""
        message = self._received(incoming)
        with self._spans.begin(message, WORK_QUEUE) as span:
            try:
                verdict = await self._work_verdict(message, span)
                await self._settle(incoming, verdict, span)
            except DatabaseAwayError as exc:
                span.failed(type(exc).__qualname__)
                await self._on_database_away()
                await give_back(incoming, span)
            except (Exception, asyncio.CancelledError) as exc:
                if _is_cut_short(exc):
                    raise
                await self._return(incoming, message, Lane.WORK, exc, span)

    async def quarantine(self, incoming: AbstractIncomingMessage) -> None:
        """Attempt a webhook while nothing else is in flight that a crash would affect."""
        message = self._received(incoming)
        anew = set_aside(attempt_due(message))
        with self._spans.begin(message, QUARANTINE_QUEUE) as span:
            try:
                verdict = await self._quarantine_verdict(message, span)
                await self._settle(incoming, verdict, span)
            except DatabaseAwayError as exc:
                # Requeued, it would count as one of the three crashes; a new copy does not count.
                span.failed(type(exc).__qualname__)
                await self._on_database_away()
                await settle(incoming, anew, self._publisher, span)
            except (Exception, asyncio.CancelledError) as exc:
                if _is_cut_short(exc):
                    # If we do not stop, a handler cancelled what it found. That counts as a crash.
                    if self._is_stopping():
                        await self._set_aside_anew(incoming, anew, span)
                    raise
                await self._return(incoming, message, Lane.QUARANTINE, exc, span)

    async def _return(
        self,
        incoming: AbstractIncomingMessage,
        message: Message,
        lane: Lane,
        exc: BaseException,
        span: MessageSpan,
    ) -> None:
        """Return, with a count, what could not be attempted despite an available database."""
        span.failed(type(exc).__qualname__)
        if not isinstance(exc, TransactionLostError):
            log.error(LogEvent.MESSAGE_NOT_PROCESSED, job_id=incoming.message_id, exc_info=exc)
        returns = message.returns + 1
        if isinstance(exc, ServerRefusesError):
            # An outage, however long it lasts, is not what makes a webhook a dead letter.
            returns = min(returns, MAX_REQUEUES)
        self._observer.returned(message.message_id, returns, type(exc).__qualname__)
        verdict = give_up_turn(
            returns, lane=lane, attempt=attempt_due(message), failure=failure_of(exc)
        )
        try:
            await self._settle(incoming, verdict, span)
        except Exception:
            log.exception(LogEvent.MESSAGE_NOT_PROCESSED, job_id=incoming.message_id)
            await give_back_after_a_bug(incoming, span)

    def _received(self, incoming: AbstractIncomingMessage) -> Message:
        message = message_of(incoming)
        if message.deliveries_before:
            self._observer.redelivered()
        return message

    async def _settle(
        self, incoming: AbstractIncomingMessage, verdict: Verdict, span: MessageSpan
    ) -> None:
        is_told = await settle(incoming, verdict, self._publisher, span)
        if is_told and not isinstance(verdict, Acknowledge) and verdict.retry_queue is not None:
            self._observer.retry_scheduled(verdict.retry_queue)

    async def _set_aside_anew(
        self, incoming: AbstractIncomingMessage, anew: Forward, span: MessageSpan
    ) -> None:
        """Our own stop interrupted it. A new copy does not count that as one of the crashes."""
        try:
            async with asyncio.timeout(_LAST_WORD_S):
                await settle(incoming, anew, self._publisher, span)
        except TimeoutError:
            log.warning(LogEvent.MESSAGE_HANDLER_STUCK, job_id=incoming.message_id)

    async def _work_verdict(self, message: Message, span: MessageSpan) -> Verdict:
        if is_quarantined(
            message.deliveries_before, database_was_away=self._watch.was_away_recently
        ):
            self._observer.set_aside(message.message_id, message.deliveries_before)
            return set_aside(attempt_due(message))
        if is_worn(message.deliveries_before):
            return renew(attempt_due(message))
        return await self._verdict(message, Lane.WORK, span)

    async def _quarantine_verdict(self, message: Message, span: MessageSpan) -> Verdict:
        if is_hopeless(message.crashes):
            span.failed(CRASHED.error_class)
            return bury(attempt_due(message), CRASHED)
        if message.deliveries_before:
            # A copy carries the count along, so that the queue's own limit is never reached.
            return set_aside(attempt_due(message), message.crashes)
        async with self._alone():
            return await self._verdict(message, Lane.QUARANTINE, span)

    async def _verdict(self, message: Message, lane: Lane, span: MessageSpan) -> Verdict:
        delivery = open_delivery(message, self._redaction)
        if isinstance(delivery, Undeliverable):
            self._observer.undeliverable(message.message_id, delivery.reason)
            span.failed(UNDELIVERABLE)
            return bury(attempt_due(message), Failure(UNDELIVERABLE, delivery.reason))
        span.opened(delivery)
        await self._need_day(delivery.envelope.job_id)
        outcome = await self._attempts.make(delivery, span)
        if attempt_of(message.routing_key) is None:
            # A copy has a queue's name as routing key, so the broker cannot find its retry queue.
            lane = Lane.QUARANTINE
        return decide(outcome, lane=lane, attempt=delivery.attempt, schedule=self._schedule)


def _is_cut_short(exc: BaseException) -> bool:
    """Whether our own stop, or a handler, cancels this task; else a cancellation is an error."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
