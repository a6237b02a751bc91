"""The metrics of the processor, and the log lines that belong to them."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.envelope import Header
from ringback.contract.identity import JobId, created_at
from ringback.contract.retry_schedule import FIRST_ATTEMPT, Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome, DeadReason, Status, WaitReason
from ringback.contract.telemetry import LogEvent, Metric, event_type_label
from ringback.runtime.observability.instruments import Exemplars, Instruments
from ringback.runtime.postgres.refusal import detail_of
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.consume.message import Message
from ringback.services.processor.log.delivery_log import RecordedAttempt

_FINAL_OUTCOMES = frozenset({AttemptOutcome.COMPLETED, AttemptOutcome.DUPLICATE})
_BEYOND_SCHEDULE = "more"

log = structlog.get_logger()


class ProcessorInstruments:
    def __init__(
        self, registry: CollectorRegistry, schedule: RetrySchedule, exemplars: Exemplars
    ) -> None:
        self._exemplars = exemplars
        instruments = Instruments(registry)
        self._numbers = [str(number) for number in range(1, schedule.max_attempts + 1)]
        # Finding a series by its labels takes longer than adding to it.
        self._completed = cache(instruments.counter(Metric.COMPLETED).labels)
        self._duration = instruments.histogram(Metric.PROCESSING_SECONDS)
        self._first_delay = instruments.histogram(Metric.FIRST_ATTEMPT_DELAY_SECONDS)
        self._handler_seconds = cache(instruments.histogram(Metric.HANDLER_SECONDS).labels)
        self._finish_delay = cache(instruments.histogram(Metric.FINISH_DELAY_SECONDS).labels)
        self._attempts = cache(instruments.counter(Metric.ATTEMPTS, attempt=self._numbers).labels)
        self._repeated = instruments.counter(Metric.REPEATED)
        self._duplicates = instruments.counter(Metric.DUPLICATES)
        self._retries = instruments.counter(Metric.RETRIES_SCHEDULED, attempt=self._numbers[:-1])
        self._redelivered = instruments.counter(Metric.REDELIVERED)
        self._dead_letters = instruments.counter(Metric.DEAD_LETTERS)
        self._requeued = instruments.counter(Metric.REQUEUED)
        self._parked = instruments.counter(Metric.PARKED)
        self._quarantined = instruments.counter(Metric.QUARANTINED)
        self._waits = instruments.counter(Metric.WAITS)
        self._waits_published = instruments.counter(Metric.WAITS_PUBLISHED)
        self._sweep_seconds = instruments.histogram(Metric.WAITS_SWEEP_SECONDS)
        self._in_flight = instruments.gauge(Metric.IN_FLIGHT)
        self._last_processed = instruments.gauge(Metric.LAST_PROCESSED)
        self._connected = instruments.gauge(Metric.BROKER_CONNECTED)
        self._order_stopped = instruments.gauge(Metric.ORDER_STOPPED_SECONDS)
        self._order_passed = instruments.counter(Metric.ORDER_PASSED)
        self._paused = instruments.gauge(Metric.PROCESSING_PAUSED)

    def watch_connection(self, is_connected: Callable[[], bool]) -> None:
        self._connected.set_function(is_connected)

    def in_flight(self) -> AbstractContextManager[object]:
        """Count an attempt in progress while entered."""
        return self._in_flight.track_inprogress()

    def attempted(self, context: AttemptContext, recorded: RecordedAttempt, seconds: float) -> None:
        """Report a recorded attempt. One that our shutdown interrupts is not recorded."""
        envelope = context.envelope
        age_s = _age_s(envelope.job_id)
        if recorded.is_fresh:
            self._count(context, recorded.outcome, seconds=seconds, age_s=age_s)
        else:
            self._repeated.inc()
        log.info(
            LogEvent.ATTEMPT_FINISHED,
            job_id=str(envelope.job_id),
            org_id=str(envelope.org_id),
            event_type=envelope.event_type,
            call_id=context.event.call_id,
            outcome=recorded.outcome.value,
            error_class=recorded.error_class,
            attempts=f"{context.attempt}/{context.schedule.max_attempts}",
            duration_ms=round(seconds * 1000, 2),
            age_ms=round(age_s * 1000),
            repeated=not recorded.is_fresh,
            duplicate_of=recorded.duplicate_of,
            trace_id=context.span.context.trace_id,
            span_id=context.span.context.span_id,
        )

    def _count(
        self, context: AttemptContext, outcome: AttemptOutcome, *, seconds: float, age_s: float
    ) -> None:
        envelope, attempt = context.envelope, context.attempt
        event_type = event_type_label(envelope.event_type)
        number = self._number(attempt)
        exemplar = self._exemplars.of(context.span.context)
        self._attempts(number, outcome.value).inc(exemplar=exemplar)
        self._duration.observe(seconds, exemplar)
        self._last_processed.set_to_current_time()
        if context.handling.seconds is not None:
            self._handler_seconds(event_type).observe(context.handling.seconds, exemplar)
        if attempt == FIRST_ATTEMPT:
            waited = context.started_at - created_at(envelope.job_id)
            self._first_delay.observe(max(0.0, waited.total_seconds()), exemplar)
        if outcome in _FINAL_OUTCOMES and envelope.retry_of is None:
            self._finish_delay(outcome.value).observe(age_s)
        if outcome is AttemptOutcome.COMPLETED:
            self._completed(event_type).inc()
        elif outcome is AttemptOutcome.DUPLICATE:
            self._duplicates.inc()

    def _number(self, attempt: Attempt) -> str:
        return str(attempt) if str(attempt) in self._numbers else _BEYOND_SCHEDULE

    def redelivered(self) -> None:
        self._redelivered.inc()

    def parked(self, message: Message, queue: str) -> None:
        self._parked.labels(queue).inc()
        org_id = message.headers.get(Header.ORG_ID)
        log.info(LogEvent.MESSAGE_PARKED, job_id=message.message_id, org_id=org_id, queue=queue)

    def retry_scheduled(self, attempt: Attempt) -> None:
        """Report that the next attempt follows after the delay of this one."""
        self._retries.labels(self._number(attempt)).inc()

    def waiting(self, context: AttemptContext, wait: Wait) -> None:
        """Report a wait that was committed, after the attempt or in place of it."""
        self._waits.labels(wait.reason.value).inc()
        log.info(
            LogEvent.WEBHOOK_WAITS,
            job_id=str(context.envelope.job_id),
            org_id=str(context.envelope.org_id),
            event_type=context.envelope.event_type,
            reason=wait.reason.value,
            destination=wait.destination,
            delay_ms=wait.delay_ms,
            trace_id=context.span.context.trace_id,
            span_id=context.span.context.span_id,
        )

    def swept(self, seconds: float, reasons: Sequence[WaitReason] = ()) -> None:
        """Report a batch of waits: the reason of each that was published."""
        self._sweep_seconds.observe(seconds)
        for reason in reasons:
            self._waits_published.labels(reason.value).inc()

    def quarantined(self, job_id: str | None, deliveries_before: int) -> None:
        self._quarantined.inc()
        log.warning(
            LogEvent.MESSAGE_QUARANTINED, job_id=job_id, deliveries_before=deliveries_before
        )

    def requeued(self, job_id: str | None, requeues: int, reason: str) -> None:
        self._requeued.inc()
        log.warning(LogEvent.MESSAGE_REQUEUED, job_id=job_id, requeues=requeues, reason=reason)

    def undeliverable(self, job_id: str | None, reason: str) -> None:
        log.error(LogEvent.MESSAGE_UNDELIVERABLE, job_id=job_id, reason=reason)

    def paused(self, *, is_paused: bool, changed_by: str | None, reason: str | None) -> None:
        self._paused.set(is_paused)
        event = LogEvent.PROCESSING_PAUSED if is_paused else LogEvent.PROCESSING_RESUMED
        log.warning(event, changed_by=changed_by, reason=reason)

    def turns_checked(self, passed: Sequence[UUID], longest_stop_s: float) -> None:
        self._order_stopped.set(longest_stop_s)
        for job_id in passed:
            self._order_passed.inc()
            log.warning(LogEvent.ORDER_PASSED, job_id=str(job_id))

    @staticmethod
    def pause_unknown(exc: BaseException) -> None:
        log.warning(LogEvent.PAUSE_UNKNOWN, reason=type(exc).__name__, detail=detail_of(exc))

    def dead_lettered(
        self, reason: DeadReason, accepted_as: JobId | None, **fields: object
    ) -> None:
        """`accepted_as` is the id from a gateway; None for retries and for foreign messages."""
        self._dead_letters.labels(reason.value).inc()
        if accepted_as is not None:
            self._finish_delay(Status.DEAD_LETTER.value).observe(_age_s(accepted_as))
        log.error(LogEvent.DEAD_LETTER_RECORDED, **fields)


def _age_s(job_id: JobId) -> float:
    """The time since a gateway accepted it; the clocks of two machines may differ."""
    return max(0.0, time.time() - created_at(job_id).timestamp())
