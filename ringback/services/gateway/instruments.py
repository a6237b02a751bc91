"""The gateway's metrics and log lines."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric, event_type_label
from ringback.contract.trace_context import TraceContext
from ringback.runtime.http.connection_limits import CloseReason
from ringback.runtime.observability.instruments import Exemplars, Instruments
from ringback.services.gateway.http.rejection import Rejection
from ringback.services.gateway.storage.result import PublishOutcome, SpoolOutcome, StoreResult

_AUTH_WORDS = ("auth", "secret", "signature", "token", "timestamp")
_MAX_HEADER_NAMES = 10
_LOG_EVERY_S = 60.0

MAX_ENDPOINT_LABELS = 100
OTHER_ENDPOINT = "other"


class Deviation(StrEnum):
    """What was wrong with a webhook that was accepted nevertheless (docs/tolerance.md)."""

    PATH = "path"
    CONTENT_TYPE = "content_type"
    CONTENT_ENCODING = "content_encoding"
    BODY = "body"


class GatewayInstruments:
    """Never raises and never waits. Logs neither secrets nor bodies."""

    def __init__(
        self, registry: CollectorRegistry, *, is_connected: Callable[[], bool], exemplars: Exemplars
    ) -> None:
        self._exemplars = exemplars
        self._log = structlog.get_logger()
        metrics = Instruments(registry)
        accepted = metrics.counter(Metric.ACCEPTED)
        # Looking up labels costs more than counting.
        self._accepted = lru_cache(maxsize=256)(
            lambda event_type: accepted.labels(event_type_label(event_type))
        )
        self._bulk = metrics.counter(Metric.BULK)
        self._rejected = metrics.counter(Metric.REJECTED, endpoint=("",))
        self._endpoint_labels: set[str] = {""}
        tolerated = metrics.counter(Metric.TOLERATED)
        self._tolerated = {one: tolerated.labels(one.value) for one in Deviation}
        self._tolerated_log = DeviationLog()
        seconds = metrics.histogram(Metric.PUBLISH_SECONDS)
        self._publish_seconds = {outcome: seconds.labels(outcome) for outcome in PublishOutcome}
        seconds_by_status = metrics.histogram(Metric.HTTP_SECONDS)
        self._http_seconds = {first: seconds_by_status.labels(f"{first}xx") for first in (2, 4, 5)}
        rows = metrics.counter(Metric.PENDING_ROWS)
        self._rows_written, self._rows_dropped = rows.labels("written"), rows.labels("dropped")
        self._is_log_failing = False
        metrics.gauge(Metric.BROKER_CONNECTED).set_function(is_connected)
        self._connections = metrics.gauge(Metric.CONNECTIONS)
        self._clock_offset = metrics.gauge(Metric.CLOCK_OFFSET)
        closed = metrics.counter(Metric.CONNECTIONS_CLOSED)
        self._closed = {reason: closed.labels(reason.value) for reason in CloseReason}

    def started(self, instance_id: str, *, port: int, endpoints: list[str]) -> None:
        self._log.info(
            LogEvent.GATEWAY_STARTED,
            gateway_instance_id=instance_id,
            port=port,
            endpoints=endpoints,
        )

    def stopping(self) -> None:
        self._log.info(LogEvent.GATEWAY_STOPPING)

    def accepted(self, result: StoreResult, *, duration_s: float) -> None:
        webhook, envelope = result.webhook, result.webhook.envelope
        self._accepted(envelope.event_type).inc()
        if envelope.is_bulk:
            self._bulk.inc()
        self._http_seconds[2].observe(duration_s, self._exemplars.of(envelope.trace))
        self._log.info(
            LogEvent.WEBHOOK_ACCEPTED,
            job_id=str(envelope.job_id),
            org_id=str(envelope.org_id),
            endpoint_id=envelope.endpoint_id,
            event_type=envelope.event_type,
            size_bytes=len(webhook.body),
            duration_ms=round(duration_s * 1000, 2),
            call_id=webhook.call_id,
            dedup_key=envelope.dedup_key,
            storage_tier=str(result.tier),
            trace_id=envelope.trace.trace_id,
            span_id=envelope.trace.span_id,
        )

    def org_over_rate(self, org_id: UUID) -> None:
        self._log.warning(LogEvent.ORG_OVER_RATE, org_id=str(org_id))

    def rejected(
        self,
        rejection: Rejection,
        *,
        path: str,
        headers: Mapping[str, str],
        duration_s: float,
        trace: TraceContext | None = None,
    ) -> None:
        """Log the names of the headers that carry credentials, never their values."""
        self._rejected.labels(self._endpoint_label(rejection), rejection.reason).inc()
        exemplar = None if trace is None else self._exemplars.of(trace)
        self._http_seconds[rejection.status // 100].observe(duration_s, exemplar)
        self._log.warning(
            LogEvent.WEBHOOK_REJECTED,
            reason=rejection.reason,
            status=rejection.status.value,
            path=path.partition("?")[0][:200],
            endpoint_id=rejection.endpoint_id or None,
            checks=rejection.checks or None,
            auth_headers=_auth_headers(headers),
            duration_ms=round(duration_s * 1000, 2),
        )

    def _endpoint_label(self, rejection: Rejection) -> str:
        """The endpoint that refused its sender; `other` beyond a number of endpoints."""
        label = rejection.endpoint_id
        if label not in self._endpoint_labels:
            if len(self._endpoint_labels) > MAX_ENDPOINT_LABELS:
                return OTHER_ENDPOINT
            self._endpoint_labels.add(label)
        return label

    def tolerated(self, endpoint_id: str, deviations: Collection[Deviation]) -> None:
        for deviation in deviations:
            self._tolerated[deviation].inc()
        self._tolerated_log.add(endpoint_id, deviations)

    def watch_connections(self, count: Callable[[], int]) -> None:
        self._connections.set_function(count)

    def watch_clock(self, offset_s: Callable[[], float]) -> None:
        self._clock_offset.set_function(offset_s)

    def connection_closed(self, reason: CloseReason) -> None:
        """Count only: an attacker causes thousands of these."""
        self._closed[reason].inc()

    def failed(self) -> None:
        """Log an unexpected exception. Call it within an except block."""
        self._log.exception(LogEvent.GATEWAY_FAILED)

    def publish_finished(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None:
        self._publish_seconds[outcome].observe(duration_s, self._exemplars.of(trace))

    def pending_rows_written(self, count: int) -> None:
        self._rows_written.inc(count)
        if self._is_log_failing:
            self._is_log_failing = False
            self._log.info(LogEvent.PENDING_ROWS_RECOVERED)

    def pending_rows_dropped(self, count: int) -> None:
        self._rows_dropped.inc(count)

    def pending_rows_stuck(self, error: BaseException) -> None:
        """Log one line per outage, however many rows it affects."""
        if not self._is_log_failing:
            self._is_log_failing = True
            self._log.warning(LogEvent.PENDING_ROWS_STUCK, reason=type(error).__name__)


def _auth_headers(headers: Mapping[str, str]) -> list[str]:
    """Header names, such as `X-Vapi-Secret` or `X-Vapi-Secret (empty)`."""
    return [
        name[:64] if value.strip() else f"{name[:64]} (empty)"
        for name, value in headers.items()
        if any(word in name.lower() for word in _AUTH_WORDS)
    ][:_MAX_HEADER_NAMES]


@dataclass(slots=True)
class _UnloggedDeviations:
    next_line_at: float
    count: int = 0
    deviations: set[Deviation] = field(default_factory=set)


class DeviationLog:
    """Logs the first deviation of an endpoint at once, then at most one line a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log = structlog.get_logger()
        self._endpoints: dict[str, _UnloggedDeviations] = {}

    def add(self, endpoint_id: str, deviations: Collection[Deviation]) -> None:
        now = self._clock()
        unlogged = self._endpoints.setdefault(endpoint_id, _UnloggedDeviations(now))
        unlogged.count += 1
        unlogged.deviations.update(deviations)
        if now < unlogged.next_line_at:
            return
        self._log.warning(
            LogEvent.WEBHOOK_TOLERATED,
            endpoint_id=endpoint_id,
            deviations=sorted(unlogged.deviations),
            count=unlogged.count,
        )
        self._endpoints[endpoint_id] = _UnloggedDeviations(now + _LOG_EVERY_S)


class SpoolInstruments:
    """Never raises and never waits. Logs when an outage begins and when it ends."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._log = structlog.get_logger()
        self._metrics = Instruments(registry)
        writes = self._metrics.counter(Metric.SPOOL_WRITES)
        self._writes = {outcome: writes.labels(outcome.value) for outcome in SpoolOutcome}
        self._drained = self._metrics.counter(Metric.DRAINED)
        self._drained_since_empty = 0
        self._is_filling = False
        self._has_failed = False

    def watch(
        self,
        *,
        count: Callable[[], int],
        size_bytes: Callable[[], int],
        oldest_age_s: Callable[[], float],
        damaged_rows: Callable[[], int],
        kept_files: Callable[[], int],
        is_usable: Callable[[], bool],
        is_breaker_open: Callable[[], bool],
    ) -> None:
        """Export gauges that call these functions."""
        gauges = {
            Metric.SPOOL_MESSAGES: count,
            Metric.SPOOL_BYTES: size_bytes,
            Metric.SPOOL_OLDEST_AGE: oldest_age_s,
            Metric.SPOOL_USABLE: is_usable,
            Metric.BREAKER_OPEN: is_breaker_open,
        }
        for metric, read in gauges.items():
            self._metrics.gauge(metric).set_function(read)
        damaged = self._metrics.gauge(Metric.SPOOL_DAMAGED)
        damaged.labels("row").set_function(damaged_rows)
        damaged.labels("file").set_function(kept_files)

    def spool_disabled(self) -> None:
        self._log.warning(LogEvent.SPOOL_DISABLED)

    def spool_opened(self, *, path: str, waiting: int) -> None:
        self._has_failed = False
        self._log.info(LogEvent.SPOOL_OPENED, path=path, waiting=waiting)

    def file_quarantined(self, *, path: str, missing: int) -> None:
        self._log.error(LogEvent.SPOOL_FILE_QUARANTINED, path=path, lost=missing)

    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None:
        self._log.warning(LogEvent.SPOOL_SALVAGED, path=path, count=count, unreadable=unreadable)

    def row_quarantined(self, *, sequence: int, reason: str) -> None:
        self._log.error(LogEvent.SPOOL_ROW_QUARANTINED, sequence=sequence, reason=reason)

    def spool_failed(self, error: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._log.error(LogEvent.SPOOL_FAILED, reason=f"{type(error).__name__}: {error}")

    def spool_write_finished(self, outcome: SpoolOutcome) -> None:
        self._writes[outcome].inc()
        if outcome is SpoolOutcome.SPOOLED:
            self._has_failed = False
            if not self._is_filling:
                self._is_filling = True
                self._log.warning(LogEvent.SPOOL_FILLING)

    def drained(self, count: int, *, left: int) -> None:
        self._drained.inc(count)
        self._drained_since_empty += count
        if left == 0:
            self._log.info(LogEvent.SPOOL_DRAINED, count=self._drained_since_empty)
            self._drained_since_empty = 0
            self._is_filling = False
