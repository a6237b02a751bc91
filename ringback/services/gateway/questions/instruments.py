"""The metrics and log lines of questions."""

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric, event_type_label
from ringback.runtime.observability.instruments import Exemplars, Instruments
from ringback.runtime.outgoing.breaker import CircuitBreaker
from ringback.services.gateway.questions.answers import Reply
from ringback.services.gateway.webhook import AcceptedWebhook


class QuestionInstruments:
    """Never raises and never waits. Logs neither questions, answers nor URLs."""

    def __init__(self, registry: CollectorRegistry, exemplars: Exemplars) -> None:
        self._log = structlog.get_logger()
        self._exemplars = exemplars
        metrics = Instruments(registry)
        self._questions = metrics.counter(Metric.QUESTIONS)
        self._seconds = metrics.histogram(Metric.QUESTION_SECONDS)
        self._mistakes = metrics.counter(Metric.ANSWER_MISTAKES)
        self._breakers = metrics.gauge(Metric.QUESTION_BREAKER_OPEN)
        self._restarts = metrics.counter(Metric.ANSWER_PROCESS_RESTARTS)
        rows = metrics.counter(Metric.QUESTION_ROWS)
        self._written, self._dropped = rows.labels("written"), rows.labels("dropped")
        self._are_rows_stuck = False

    def answered(
        self,
        webhook: AcceptedWebhook,
        reply: Reply,
        *,
        outcome: str,
        size_bytes: int,
        duration_s: float,
    ) -> None:
        envelope = webhook.envelope
        event_type = event_type_label(envelope.event_type)
        self._questions.labels(event_type, outcome).inc()
        self._seconds.labels(event_type).observe(duration_s, self._exemplars.of(envelope.trace))
        for mistake in {mistake for mistake, _ in reply.mistakes}:
            self._mistakes.labels(event_type, mistake.value).inc()
        self._log.info(
            LogEvent.QUESTION_ANSWERED,
            job_id=str(envelope.job_id),
            org_id=str(envelope.org_id),
            endpoint_id=envelope.endpoint_id,
            event_type=envelope.event_type,
            call_id=webhook.call_id,
            dedup_key=envelope.dedup_key,
            outcome=outcome,
            status=reply.answer.status,
            backend_status=reply.status,
            mistakes=[f"{mistake} {place}" for mistake, place in reply.mistakes][:10],
            size_bytes=size_bytes,
            answer_bytes=len(reply.answer.body),
            duration_ms=round(duration_s * 1000, 2),
            trace_id=envelope.trace.trace_id,
            span_id=envelope.trace.span_id,
        )

    def watch_breaker(self, endpoint_id: str, event_type: str, breaker: CircuitBreaker) -> None:
        self._breakers.labels(endpoint_id, event_type).set_function(
            # Its state changes only with the next question, which may come hours later or never.
            lambda: breaker.free_permits == 0
        )

    def answer_process_restarted(self) -> None:
        self._restarts.inc()

    def rows_written(self, count: int) -> None:
        self._written.inc(count)
        if self._are_rows_stuck:
            self._are_rows_stuck = False
            self._log.info(LogEvent.QUESTION_ROWS_RECOVERED)

    def rows_dropped(self, count: int) -> None:
        self._dropped.inc(count)

    def rows_stuck(self, error: BaseException) -> None:
        """Log one line per outage, however often writing is tried."""
        if not self._are_rows_stuck:
            self._are_rows_stuck = True
            self._log.warning(LogEvent.QUESTION_ROWS_STUCK, reason=type(error).__name__)

    def failed(self) -> None:
        """Log an unexpected exception. Call it within an except block."""
        self._log.exception(LogEvent.GATEWAY_FAILED)
