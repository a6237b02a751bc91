"""The metrics of the processor and the log lines that belong to them: a method per occurrence."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId, created_at
from ringback.contract.retry_schedule import FIRST_ATTEMPT, RetryQueue, RetrySchedule
from ringback.contract.status import AttemptOutcome, DeadReason, Status
from ringback.contract.telemetry import LogEvent, Metric, event_type_label
from ringback.runtime.observability.instruments import Exemplars, Instruments
from services.processor.attempt.context import AttemptContext
from services.processor.log.delivery_log import RecordedAttempt

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
        retry_queues = [str(retry_queue.attempt) for retry_queue in schedule.retry_queues]
        self._completed = instruments.counter(Metric.COMPLETED)
        self._duration = instruments.histogram(Metric.PROCESSING_SECONDS)
        self._first_delay = instruments.histogram(Metric.FIRST_ATTEMPT_DELAY_SECONDS)
        self._handler_seconds = instruments.histogram(Metric.HANDLER_SECONDS)
        self._finish_delay = instruments.histogram(Metric.FINISH_DELAY_SECONDS)
        self._attempts = instruments.counter(Metric.ATTEMPTS, attempt=self._numbers)
        self._repeated = instruments.counter(Metric.REPEATED)
        self._duplicates = instruments.counter(Metric.DUPLICATES)
        self._retries = instruments.counter(Metric.RETRIES_SCHEDULED, attempt=retry_queues)
        self._redelivered = instruments.counter(Metric.REDELIVERED)
        self._dead_letters = instruments.counter(Metric.DEAD_LETTERS)
        self._requeued = instruments.counter(Metric.REQUEUED)
        self._quarantined = instruments.counter(Metric.QUARANTINED)
        self._in_flight = instruments.gauge(Metric.IN_FLIGHT)
        self._last_processed = instruments.gauge(Metric.LAST_PROCESSED)
        self._connected = instruments.gauge(Metric.BROKER_CONNECTED)
        self._paused = instruments.gauge(Metric.PROCESSING_PAUSED)

    def watch_connection(self, is_connected: Callable[[], bool]) -> None:
        self._connected.set_function(is_connected)

    def in_flight(self) -> AbstractContextManager[object]:
        """Count an attempt in progress while entered."""
        return self._in_flight.track_inprogress()

    def attempted(self, context: AttemptContext, recorded: RecordedAttempt, seconds: float) -> None:
        """Report a recorded attempt. One that our shutdown interrupts is not recorded."""
        if recorded.is_fresh:
            self._count(context, recorded.outcome, seconds)
        else:
            self._repeated.inc()
        envelope = context.envelope
        log.info(
            LogEvent.ATTEMPT_FINISHED,
            job_id=str(envelope.job_id),
            org_id=str(envelope.org_id),
            event_type=envelope.event_type,
            call_id=context.event.call_id,
            outcome=recorded.outcome.value,
            attempts=f"{context.attempt}/{len(self._numbers)}",
            duration_ms=round(seconds * 1000, 2),
            age_ms=round(_age_s(envelope.job_id) * 1000),
            repeated=not recorded.is_fresh,
            duplicate_of=recorded.duplicate_of,
            trace_id=context.span.context.trace_id,
            span_id=context.span.context.span_id,
        )

    def _count(self, context: AttemptContext, outcome: AttemptOutcome, seconds: float) -> None:
        envelope, attempt = context.envelope, context.attempt
        event_type = event_type_label(envelope.event_type)
        number = str(attempt) if str(attempt) in self._numbers else _BEYOND_SCHEDULE
        exemplar = self._exemplars.of(context.span.context)
        self._attempts.labels(number, outcome.value).inc(exemplar=exemplar)
        self._duration.observe(seconds, exemplar)
        self._last_processed.set_to_current_time()
        if context.handling.seconds is not None:
            self._handler_seconds.labels(event_type).observe(context.handling.seconds, exemplar)
        if attempt == FIRST_ATTEMPT:
            waited = context.started_at - created_at(envelope.job_id)
            self._first_delay.observe(max(0.0, waited.total_seconds()), exemplar)
        if outcome in _FINAL_OUTCOMES and envelope.retry_of is None:
            self._finished(outcome, envelope.job_id)
        if outcome is AttemptOutcome.COMPLETED:
            self._completed.labels(event_type).inc()
        elif outcome is AttemptOutcome.DUPLICATE:
            self._duplicates.inc()

    def redelivered(self) -> None:
        self._redelivered.inc()

    def retry_scheduled(self, retry_queue: RetryQueue) -> None:
        self._retries.labels(str(retry_queue.attempt)).inc()

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

    @staticmethod
    def pause_unknown(exc: BaseException) -> None:
        log.warning(LogEvent.PAUSE_UNKNOWN, reason=type(exc).__name__, detail=str(exc)[:200])

    def dead_lettered(
        self, reason: DeadReason, accepted_as: JobId | None, **fields: object
    ) -> None:
        """`accepted_as` is the id from a gateway; None for retries and for foreign messages."""
        self._dead_letters.labels(reason.value).inc()
        if accepted_as is not None:
            self._finished(Status.DEAD_LETTER, accepted_as)
        log.error(LogEvent.DEAD_LETTER_RECORDED, **fields)

    def _finished(self, outcome: AttemptOutcome | Status, job_id: JobId) -> None:
        self._finish_delay.labels(outcome.value).observe(_age_s(job_id))


def _age_s(job_id: JobId) -> float:
    """The time since a gateway accepted it; the clocks of two machines may differ."""
    return max(0.0, time.time() - created_at(job_id).timestamp())
