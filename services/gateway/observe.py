"""Everything by which the gateway is observed: metrics and log lines, as verbs."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric, event_type_label
from ringback.contract.trace_context import TraceContext
from ringback.runtime.connections import CutFor
from ringback.runtime.exemplars import Exemplars
from ringback.runtime.instruments import Instruments
from services.gateway.publish_outcome import PublishOutcome
from services.gateway.refusal import Refusal
from services.gateway.seal import Sealed
from services.gateway.storing import StoredIn
from services.gateway.tolerated import Deviation, ToleratedLog

_AUTH_WORDS = ("auth", "secret", "signature", "token", "timestamp")
_MOST_HEADER_NAMES = 10


class Observe:
    """Counts and tells. It never raises and never waits; no secret and no body passes it."""

    def __init__(
        self, registry: CollectorRegistry, *, is_link_up: Callable[[], bool], exemplars: Exemplars
    ) -> None:
        self._exemplars = exemplars
        self._log = structlog.get_logger()
        instruments = Instruments(registry)
        accepted = instruments.counter(Metric.ACCEPTED)
        # A lookup of labels costs more than the counting.
        self._accepted = lru_cache(maxsize=256)(
            lambda event_type: accepted.labels(event_type_label(event_type))
        )
        self._refused = instruments.counter(Metric.REFUSED)
        tolerated = instruments.counter(Metric.TOLERATED)
        self._tolerated = {one: tolerated.labels(one.value) for one in Deviation}
        self._tolerated_log = ToleratedLog()
        seconds = instruments.histogram(Metric.PUBLISH_SECONDS)
        self._publish_seconds = {outcome: seconds.labels(outcome) for outcome in PublishOutcome}
        answers = instruments.histogram(Metric.HTTP_SECONDS)
        self._answered = {first: answers.labels(f"{first}xx") for first in (2, 4, 5)}
        rows = instruments.counter(Metric.PENDING_ROWS)
        self._rows_written, self._rows_dropped = rows.labels("written"), rows.labels("dropped")
        self._rows_stuck = False
        instruments.gauge(Metric.BROKER_LINK_UP).set_function(is_link_up)
        self._connections = instruments.gauge(Metric.CONNECTIONS)
        self._clock_offset = instruments.gauge(Metric.CLOCK_OFFSET)
        cut = instruments.counter(Metric.CONNECTIONS_CUT)
        self._cut = {why: cut.labels(why.value) for why in CutFor}

    def started(self, *, life: str, port: int, endpoints: list[str]) -> None:
        self._log.info(LogEvent.GATEWAY_STARTED, life=life, port=port, endpoints=endpoints)

    def stopping(self) -> None:
        self._log.info(LogEvent.GATEWAY_STOPPING)

    def accepted(self, sealed: Sealed, place: StoredIn, *, duration_s: float) -> None:
        envelope = sealed.envelope
        self._accepted(envelope.event_type).inc()
        self._answered[2].observe(duration_s, self._exemplars.of(envelope.trace))
        self._log.info(
            LogEvent.WEBHOOK_ACCEPTED,
            job_id=str(envelope.job_id),
            org_id=str(envelope.org_id),
            endpoint_id=envelope.endpoint_id,
            event_type=envelope.event_type,
            size_bytes=len(sealed.body),
            duration_ms=round(duration_s * 1000, 2),
            call_id=sealed.call_id,
            dedup_key=envelope.dedup_key,
            stored_in=place.value,
            trace_id=envelope.trace.trace_id,
        )

    def refused(
        self,
        refusal: Refusal,
        *,
        path: str,
        headers: Mapping[str, str],
        duration_s: float,
        trace: TraceContext,
    ) -> None:
        """The line holds the names of the headers that carry credentials, never their values."""
        self._refused.labels(refusal.reason).inc()
        self._answered[refusal.status // 100].observe(duration_s, self._exemplars.of(trace))
        self._log.warning(
            LogEvent.WEBHOOK_REFUSED,
            reason=refusal.reason,
            status=refusal.status.value,
            path=path.partition("?")[0][:200],
            auth_headers=_auth_headers(headers),
            duration_ms=round(duration_s * 1000, 2),
        )

    def tolerated(self, endpoint_id: str, deviations: Collection[Deviation]) -> None:
        for deviation in deviations:
            self._tolerated[deviation].inc()
        self._tolerated_log.add(endpoint_id, deviations)

    def watch_connections(self, count: Callable[[], int]) -> None:
        self._connections.set_function(count)

    def watch_clock(self, offset_s: Callable[[], float]) -> None:
        self._clock_offset.set_function(offset_s)

    def connection_cut(self, why: CutFor) -> None:
        """No line for each: whoever attacks makes thousands."""
        self._cut[why].inc()

    def failed(self) -> None:
        """Within an except block: what happened there was not foreseen."""
        self._log.exception(LogEvent.GATEWAY_FAILED)

    def publish_ended(
        self, outcome: PublishOutcome, *, duration_s: float, trace: TraceContext
    ) -> None:
        self._publish_seconds[outcome].observe(duration_s, self._exemplars.of(trace))

    def pending_rows_written(self, count: int) -> None:
        self._rows_written.inc(count)
        if self._rows_stuck:
            self._rows_stuck = False
            self._log.info(LogEvent.PENDING_ROWS_WRITING_AGAIN)

    def pending_rows_dropped(self, count: int) -> None:
        self._rows_dropped.inc(count)

    def pending_rows_stuck(self, error: BaseException) -> None:
        """One line per outage, however many rows it touches."""
        if not self._rows_stuck:
            self._rows_stuck = True
            self._log.warning(LogEvent.PENDING_ROWS_STUCK, reason=type(error).__name__)


def _auth_headers(headers: Mapping[str, str]) -> list[str]:
    """The names, as in `X-Vapi-Secret`, or `X-Vapi-Secret (empty)`."""
    return [
        name[:64] if value.strip() else f"{name[:64]} (empty)"
        for name, value in headers.items()
        if any(word in name.lower() for word in _AUTH_WORDS)
    ][:_MOST_HEADER_NAMES]
