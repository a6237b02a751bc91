"""Handles each message of a queue until it is settled."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import QUARANTINE_QUEUE
from ringback.runtime.amqp.connection import is_cancelled_from_outside
from ringback.services.processor.attempt.attempt import Attempts
from ringback.services.processor.attempt.handler_slots import NotBegunError, ShareExceededError
from ringback.services.processor.attempt.policy import (
    CRASHED,
    MAX_REQUEUES,
    Failure,
    Requeue,
    SourceQueue,
    Verdict,
    crash_limit_reached,
    dead_letter,
    needs_quarantine,
    needs_renewal,
    park,
    quarantine,
    renew,
    requeue_later,
    return_unbegun,
)
from ringback.services.processor.attempt.result import failed
from ringback.services.processor.attempt.transaction import ServerRefusesError, TransactionLostError
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.consume.settle import Settler
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.spans import MessageSpan, Spans

_STOP_TIMEOUT_S = 3.0
_AFTER_ERROR_S = 1.0

log = structlog.get_logger()


class Consumers(Protocol):
    """What a handler needs from the consumers of this process."""

    def is_stopping(self) -> bool:
        """Whether they have stopped for good, and may cancel work in flight."""

    async def database_unavailable(self) -> None:
        """Stop consuming until the database answers again."""

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """While entered, no other webhook is in flight."""


class MessageHandler(ABC):
    """Decides on a verdict for each message, and has the settler carry it out.

    A subclass decides for its queue. After an error this class requeues the message.
    `error_event` is the log event of such an error.
    """

    queue: str
    is_dead_letter = False
    error_event = LogEvent.MESSAGE_NOT_PROCESSED

    def __init__(
        self,
        settler: Settler,
        spans: Spans,
        instruments: ProcessorInstruments,
        *,
        error_wait_s: float = _AFTER_ERROR_S,
    ) -> None:
        self._settler = settler
        self._spans = spans
        self._instruments = instruments
        self._error_wait_s = error_wait_s

    @abstractmethod
    async def decide(self, message: Message, span: MessageSpan, consumers: Consumers) -> Verdict:
        """Do what the message asks for, and return what happens to it.

        Raises DatabaseUnavailableError when nothing could be recorded, and NotBegunError when
        nothing was done.
        """

    @abstractmethod
    async def after_error(self, message: Message, exc: BaseException) -> Verdict:
        """What happens to a message that could not be handled despite an available database."""

    def returned(self, message: Message) -> Verdict:  # ruff: ignore[unused-method-argument]  # for subclasses
        """What happens to a message that was not begun, or waited too long for the database."""
        return Requeue()

    def after_stop(self, message: Message) -> Verdict | None:  # ruff: ignore[unused-method-argument]  # as above
        """What happens to a message that our stop interrupts; None leaves it unanswered."""
        return None

    async def handle(self, incoming: AbstractIncomingMessage, consumers: Consumers) -> None:
        message = message_of(incoming)
        with self._spans.begin(message, self.queue, is_dead_letter=self.is_dead_letter) as span:
            try:
                verdict = await self._verdict(message, span, consumers)
                await self._settler.settle(incoming, verdict, span)
            except (Exception, asyncio.CancelledError) as exc:
                if not _is_cancelled(exc):
                    await self._requeue(incoming, message, exc, span)
                    return
                # If we do not stop, a handler cancelled every task that it found.
                verdict_on_stop = self.after_stop(message)
                if consumers.is_stopping() and verdict_on_stop is not None:
                    await self._settle_in_time(incoming, verdict_on_stop, span)
                raise

    async def _verdict(self, message: Message, span: MessageSpan, consumers: Consumers) -> Verdict:
        try:
            return await self.decide(message, span, consumers)
        except NotBegunError:
            return self.returned(message)
        except DatabaseUnavailableError as exc:
            span.failed(type(exc).__qualname__)
            await consumers.database_unavailable()
            return self.returned(message)

    async def _requeue(
        self,
        incoming: AbstractIncomingMessage,
        message: Message,
        exc: BaseException,
        span: MessageSpan,
    ) -> None:
        """Requeue with a count in a header, else with `Requeue`, which the broker counts."""
        span.failed(type(exc).__qualname__)
        if not isinstance(exc, TransactionLostError):
            log.error(self.error_event, job_id=message.message_id, exc_info=exc)
        try:
            verdict = await self.after_error(message, exc)
            await self._settler.settle(incoming, verdict, span)
        except Exception:
            log.exception(self.error_event, job_id=message.message_id)
            await asyncio.sleep(self._error_wait_s)
            await self._settler.settle(incoming, Requeue(), span)

    async def _settle_in_time(
        self, incoming: AbstractIncomingMessage, verdict: Verdict, span: MessageSpan
    ) -> None:
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._settler.settle(incoming, verdict, span)
        except TimeoutError:
            log.warning(LogEvent.MESSAGE_QUARANTINE_INTERRUPTED, job_id=incoming.message_id)


class AttemptHandler(MessageHandler):
    """Attempts a webhook, or quarantines it if it may have crashed a process."""

    def __init__(
        self,
        source: SourceQueue,
        settler: Settler,
        spans: Spans,
        instruments: ProcessorInstruments,
        *,
        attempts: Attempts,
        watch: DatabaseWatch,
        error_wait_s: float = _AFTER_ERROR_S,
    ) -> None:
        super().__init__(settler, spans, instruments, error_wait_s=error_wait_s)
        self.queue = source.value
        self._source = source
        self._attempts = attempts
        self._watch = watch

    async def decide(self, message: Message, span: MessageSpan, consumers: Consumers) -> Verdict:
        del consumers
        deliveries_before = message.deliveries_before
        if deliveries_before:
            self._instruments.redelivered()
        if needs_quarantine(
            deliveries_before, database_was_unavailable=self._watch.was_unavailable_recently
        ):
            self._instruments.quarantined(message.message_id, deliveries_before)
            return quarantine(attempt_due(message))
        if needs_renewal(deliveries_before):
            return renew(self._source, attempt_due(message))
        try:
            return await self._attempts.run(message, self._source, span)
        except ShareExceededError as exc:
            parked = park(message.parks, attempt=attempt_due(message), hangs=exc.hangs)
            self._instruments.parked(message, parked.routing_key)
            return parked

    async def after_error(self, message: Message, exc: BaseException) -> Verdict:
        return _requeue_verdict(message, exc, self._source, self._instruments)

    def returned(self, message: Message) -> Verdict:
        return return_unbegun(self._source, attempt_due(message), message.deliveries_before)


class QuarantineHandler(MessageHandler):
    """Attempts a webhook while nothing else is in flight that a crash would affect.

    A delivery without an answer counts as a crash here, and so would a requeue. So after an outage
    or a stop the message is replaced by a copy, whose count begins at 0.
    """

    queue = QUARANTINE_QUEUE

    def __init__(
        self,
        settler: Settler,
        spans: Spans,
        instruments: ProcessorInstruments,
        *,
        attempts: Attempts,
    ) -> None:
        super().__init__(settler, spans, instruments)
        self._attempts = attempts

    async def decide(self, message: Message, span: MessageSpan, consumers: Consumers) -> Verdict:
        if message.deliveries_before:
            self._instruments.redelivered()
        if crash_limit_reached(message.crashes):
            span.failed(CRASHED.error_class)
            return dead_letter(attempt_due(message), CRASHED)
        if message.deliveries_before:
            # The copy contains the number of crashes. The broker counts its deliveries from 0.
            return quarantine(attempt_due(message), message.crashes)
        async with consumers.exclusive():
            return await self._attempts.run(message, SourceQueue.QUARANTINE, span)

    async def after_error(self, message: Message, exc: BaseException) -> Verdict:
        return _requeue_verdict(message, exc, SourceQueue.QUARANTINE, self._instruments)

    def returned(self, message: Message) -> Verdict:
        return quarantine(attempt_due(message))

    def after_stop(self, message: Message) -> Verdict:
        return quarantine(attempt_due(message))


def message_of(incoming: AbstractIncomingMessage) -> Message:
    return Message(
        body=incoming.body,
        routing_key=incoming.routing_key or "",
        message_id=incoming.message_id,
        type=incoming.type,
        headers=incoming.headers,
        exchange=incoming.exchange or "",
    )


def _requeue_verdict(
    message: Message, exc: BaseException, source: SourceQueue, instruments: ProcessorInstruments
) -> Verdict:
    requeues = message.requeues + 1
    if isinstance(exc, ServerRefusesError):
        # However long the server refuses, that must not make the webhook a dead letter.
        requeues = min(requeues, MAX_REQUEUES)
    instruments.requeued(message.message_id, requeues, type(exc).__qualname__)
    failure = _failure_of(exc)
    return requeue_later(requeues, source=source, attempt=attempt_due(message), failure=failure)


def _failure_of(exc: BaseException) -> Failure:
    """The failure for an error of our code, cut and cleaned for a header and for the log."""
    result = failed(type(exc).__qualname__, str(exc) or "There is no message.")
    return Failure(str(result.error_class), str(result.error_message))


def _is_cancelled(exc: BaseException) -> bool:
    """Whether our own stop, or a handler, cancels this task; else a cancellation is an error."""
    return isinstance(exc, asyncio.CancelledError) and is_cancelled_from_outside()
