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
from services.processor.attempt.attempt import Attempts
from services.processor.attempt.context import failed
from services.processor.attempt.handler_connection import ServerRefusesError, TransactionLostError
from services.processor.attempt.policy import (
    CRASHED,
    MAX_REQUEUES,
    UNDELIVERABLE,
    Acknowledge,
    Failure,
    Forward,
    SourceQueue,
    Verdict,
    crash_limit_reached,
    dead_letter_forward,
    decide,
    needs_quarantine,
    needs_renewal,
    quarantine_copy,
    renew,
    requeue_or_dead_letter,
)
from services.processor.consume.database_watch import DatabaseWatch
from services.processor.consume.message import (
    Message,
    Undeliverable,
    attempt_due,
    open_delivery,
)
from services.processor.consume.settle import Publisher, give_back, requeue_after_error, settle
from services.processor.instruments import ProcessorInstruments
from services.processor.log.commit_batcher import DatabaseUnavailableError
from services.processor.log.partitions import EnsurePartition
from services.processor.spans import MessageSpan, Spans

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


class MessageHandler:
    def __init__(
        self,
        *,
        attempts: Attempts,
        schedule: RetrySchedule,
        ensure_partition: EnsurePartition,
        redaction: Redaction,
        publisher: Publisher,
        watch: DatabaseWatch,
        alone: Alone,
        is_stopping: Callable[[], bool],
        on_database_away: Callable[[], Awaitable[None]],
        instruments: ProcessorInstruments,
        spans: Spans,
    ) -> None:
        self._attempts = attempts
        self._schedule = schedule
        self._ensure_partition = ensure_partition
        self._redaction = redaction
        self._publisher = publisher
        self._watch = watch
        self._alone = alone
        self._is_stopping = is_stopping
        self._on_database_away = on_database_away
        self._instruments = instruments
        self._spans = spans

    async def work(self, incoming: AbstractIncomingMessage) -> None:
        """Attempt a webhook, or quarantine it if it may be what kills the process."""
        message = self._received(incoming)
        with self._spans.begin(message, WORK_QUEUE) as span:
            try:
                verdict = await self._work_verdict(message, span)
                await self._settle(incoming, verdict, span)
            except DatabaseUnavailableError as exc:
                span.failed(type(exc).__qualname__)
                await self._on_database_away()
                await give_back(incoming, span)
            except (Exception, asyncio.CancelledError) as exc:
                if _is_cut_short(exc):
                    raise
                await self._return(incoming, message, SourceQueue.WORK, exc, span)

    async def quarantine(self, incoming: AbstractIncomingMessage) -> None:
        """Attempt a webhook while nothing else is in flight that a crash would affect."""
        message = self._received(incoming)
        anew = quarantine_copy(attempt_due(message))
        with self._spans.begin(message, QUARANTINE_QUEUE) as span:
            try:
                verdict = await self._quarantine_verdict(message, span)
                await self._settle(incoming, verdict, span)
            except DatabaseUnavailableError as exc:
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
                await self._return(incoming, message, SourceQueue.QUARANTINE, exc, span)

    async def _return(
        self,
        incoming: AbstractIncomingMessage,
        message: Message,
        lane: SourceQueue,
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
        self._instruments.returned(message.message_id, returns, type(exc).__qualname__)
        verdict = requeue_or_dead_letter(
            returns, lane=lane, attempt=attempt_due(message), failure=failure_of(exc)
        )
        try:
            await self._settle(incoming, verdict, span)
        except Exception:
            log.exception(LogEvent.MESSAGE_NOT_PROCESSED, job_id=incoming.message_id)
            await requeue_after_error(incoming, span)

    def _received(self, incoming: AbstractIncomingMessage) -> Message:
        message = message_of(incoming)
        if message.deliveries_before:
            self._instruments.redelivered()
        return message

    async def _settle(
        self, incoming: AbstractIncomingMessage, verdict: Verdict, span: MessageSpan
    ) -> None:
        is_told = await settle(incoming, verdict, self._publisher, span)
        if is_told and not isinstance(verdict, Acknowledge) and verdict.retry_queue is not None:
            self._instruments.retry_scheduled(verdict.retry_queue)

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
        if needs_quarantine(
            message.deliveries_before, database_was_away=self._watch.was_unavailable_recently
        ):
            self._instruments.quarantine_copy(message.message_id, message.deliveries_before)
            return quarantine_copy(attempt_due(message))
        if needs_renewal(message.deliveries_before):
            return renew(attempt_due(message))
        return await self._verdict(message, SourceQueue.WORK, span)

    async def _quarantine_verdict(self, message: Message, span: MessageSpan) -> Verdict:
        if crash_limit_reached(message.crashes):
            span.failed(CRASHED.error_class)
            return dead_letter_forward(attempt_due(message), CRASHED)
        if message.deliveries_before:
            # A copy carries the count along, so that the queue's own limit is never reached.
            return quarantine_copy(attempt_due(message), message.crashes)
        async with self._alone():
            return await self._verdict(message, SourceQueue.QUARANTINE, span)

    async def _verdict(self, message: Message, lane: SourceQueue, span: MessageSpan) -> Verdict:
        delivery = open_delivery(message, self._redaction)
        if isinstance(delivery, Undeliverable):
            self._instruments.undeliverable(message.message_id, delivery.reason)
            span.failed(UNDELIVERABLE)
            return dead_letter_forward(
                attempt_due(message), Failure(UNDELIVERABLE, delivery.reason)
            )
        span.opened(delivery)
        await self._ensure_partition(delivery.envelope.job_id)
        outcome = await self._attempts.make(delivery, span)
        if attempt_of(message.routing_key) is None:
            # A copy has a queue's name as routing key, so the broker cannot find its retry queue.
            lane = SourceQueue.QUARANTINE
        return decide(outcome, lane=lane, attempt=delivery.attempt, schedule=self._schedule)


def failure_of(exc: BaseException) -> Failure:
    """The failure for an error of our code, cut and cleaned for a header and for the log."""
    outcome = failed(type(exc).__qualname__, str(exc) or "There is no message.")
    return Failure(str(outcome.error_class), str(outcome.error_message))


def _is_cut_short(exc: BaseException) -> bool:
    """Whether our own stop, or a handler, cancels this task; else a cancellation is an error."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
