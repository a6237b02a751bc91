"""The metrics and log lines of this service.

In gauges an unknown value is absent, never stale or guessed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import grpc
import structlog
from opentelemetry.trace import Span
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ringback.contract.status import Status, WaitReason
from ringback.contract.telemetry import LogEvent, Metric
from ringback.contract.telemetry.spec import MetricSpec
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.runtime.observability.instruments import Instruments, gauge_family
from ringback.runtime.observability.tracing import trace_context
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.polling.freshness_cache import Clock, FreshnessCache
from ringback.services.metrics.polling.log_stats import LogStats
from ringback.services.metrics.polling.queue_depths import QueueDepth
from ringback.services.metrics.queries.queue_snapshot import Waits
from ringback.services.metrics.transport.call import Peer
from ringback.services.metrics.transport.errors import ApiError, cause_of
from ringback.services.metrics.transport.methods import Method
from ringback.services.metrics.transport.spans import record_result

_UNRESOLVED = "unresolved"
_IN_FLIGHT = "in_flight"
_WAITS = "waits"
_STATS: Mapping[str, MetricSpec] = {
    "accepted": Metric.LEDGER_ACCEPTED,
    "deficit": Metric.LEDGER_DEFICIT,
    "days_ahead": Metric.PARTITIONS_AHEAD,
    "extra_days": Metric.EXTRA_PARTITIONS,
}
_AGES = {Status.PENDING: "oldest_pending_s", Status.FAILED: "oldest_failed_s"}
_ENDED = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.DEAD_LETTER: "dead_letter",
    Status.DUPLICATE: "duplicate",
}


class StateGauges(Collector):
    """Exposes the last readings while they are fresh, and whether the broker is connected."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        max_age_s: float,
        broker_is_connected: Callable[[], bool],
        clock: Clock = time.monotonic,
    ) -> None:
        self._ready = FreshnessCache[float](max_age_s, clock)
        self._consumers = FreshnessCache[float](max_age_s, clock)
        self._unacked = FreshnessCache[float](max_age_s, clock)
        self._log = FreshnessCache[float](max_age_s, clock)
        self._waits = FreshnessCache[Waits](max_age_s, clock)
        self._broker_is_connected = broker_is_connected
        registry.register(self)

    def queues_read(self, depths: Mapping[str, QueueDepth]) -> None:
        self._ready.put({name: depth.messages for name, depth in depths.items()})
        self._consumers.put({name: depth.consumers for name, depth in depths.items()})

    def unacked_read(self, unacked: Mapping[str, int]) -> None:
        self._unacked.put(unacked)

    def dead_letters_counted(self, unresolved: int) -> None:
        self._log.put({_UNRESOLVED: unresolved})

    def waits_counted(self, waits: Waits) -> None:
        self._waits.put({_WAITS: waits})

    def in_flight_read(self, in_flight: int) -> None:
        """Record how many webhooks the processors report in flight."""
        self._log.put({_IN_FLIGHT: in_flight})

    def stats_read(self, stats: LogStats) -> None:
        self._log.put(asdict(stats))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        ready, log = self._ready.get(), self._log.get()
        yield _by_label(Metric.QUEUE_MESSAGES, ready)
        yield _by_label(Metric.QUEUE_CONSUMERS, self._consumers.get())
        yield _by_label(Metric.QUEUE_UNACKED, self._unacked.get())
        yield _dead_letters(log.get(_UNRESOLVED), ready.get(DEAD_LETTER_QUEUE))
        yield _by_status(Metric.DELIVERIES, _deliveries(log))
        yield _by_status(
            Metric.OLDEST_AGE,
            {status: log[name] for status, name in _AGES.items() if name in log},
        )
        yield from _waits(self._waits.get().get(_WAITS))
        for name, metric in _STATS.items():
            yield _single(metric, log.get(name))
        yield _single(Metric.BROKER_CONNECTED, int(self._broker_is_connected()))


def _deliveries(log: Mapping[str, float]) -> dict[Status, float]:
    """Count webhooks by status: those in flight are processing, other unfinished ones pending."""
    counts = {status: log[name] for status, name in _ENDED.items() if name in log}
    if "unfinished" in log and _IN_FLIGHT in log:
        in_flight = min(log[_IN_FLIGHT], log["unfinished"])
        counts |= {Status.PENDING: log["unfinished"] - in_flight, Status.PROCESSING: in_flight}
    return counts


def _dead_letters(unresolved: float | None, waiting: float | None) -> GaugeMetricFamily:
    known = unresolved is not None and waiting is not None
    size = (unresolved or 0) + (waiting or 0)
    return _single(Metric.DEAD_LETTER_QUEUE_SIZE, size if known else None)


def _waits(waits: Waits | None) -> Iterator[GaugeMetricFamily]:
    """A value for each reason: 0 if no webhook waits for it."""
    counts, overdue_s = dict[str, float](), dict[str, float]()
    if waits is not None:
        for reason in WaitReason:
            wait = waits.get(reason)
            counts[reason.value] = wait.count if wait else 0
            overdue_s[reason.value] = wait.overdue_s if wait else 0
    yield _by_label(Metric.WAITING, counts)
    yield _by_label(Metric.WAIT_OVERDUE, overdue_s)


def _single(metric: MetricSpec, value: float | None) -> GaugeMetricFamily:
    family = gauge_family(metric)
    if value is not None:
        family.add_metric([], value)
    return family


def _by_label(metric: MetricSpec, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = gauge_family(metric)
    for name, value in values.items():
        family.add_metric([name], value)
    return family


def _by_status(metric: MetricSpec, values: Mapping[Status, float]) -> GaugeMetricFamily:
    return _by_label(metric, {status.value: value for status, value in values.items()})


_CODES = frozenset(grpc.StatusCode) - {
    # No code here returns these. If gRPC does, the time series begins at that moment.
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}
_WARNINGS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
}


@dataclass(slots=True)
class CallResult:
    """How a call ended. `principal` is None when authentication failed."""

    method: Method
    peer: Peer
    span: Span
    principal: Principal | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    error: ApiError | None = None
    answers: int = 0


class CallInstruments:
    """Counts and logs calls. It never raises or waits, and receives no token and no event."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[Method]) -> None:
        self._log = structlog.get_logger()
        instruments = Instruments(registry)
        methods = tuple(methods)
        codes = [code.name for code in _CODES]
        self._calls = instruments.counter(
            Metric.RPC_CALLS, method=[method.full_name for method in methods], code=codes
        )
        self._seconds = instruments.histogram(
            Metric.RPC_SECONDS,
            method=[method.full_name for method in methods if not method.is_server_streaming],
        )

    def unexpected(self, method: Method, error: Exception) -> None:
        self._log.error(LogEvent.RPC_FAILED, method=method.full_name, exc_info=error)

    def finished(self, result: CallResult, *, duration_s: float) -> None:
        method, transport = result.method, result.peer.transport
        self._calls.labels(method.full_name, transport, result.code.name).inc()
        if not method.is_server_streaming:
            self._seconds.labels(method.full_name, transport).observe(duration_s)
        principal, error = result.principal, result.error
        record_result(result.span, result.code, error, principal)
        trace = trace_context(result.span)
        write = self._log.warning if result.code in _WARNINGS else self._log.info
        write(
            LogEvent.RPC_FINISHED,
            method=method.full_name,
            transport=transport.value,
            code=result.code.name,
            reason=error.reason if error else None,
            cause=cause_of(error) if error else None,
            duration_ms=round(duration_s * 1000, 2),
            messages=result.answers,
            role=principal.role.value if principal else None,
            org_id=str(principal.org_id) if principal and principal.org_id else None,
            subject=principal.subject if principal else None,
            peer=result.peer.address,
            trace_id=trace.trace_id,
            span_id=trace.span_id,
        )


class RetryInstruments:
    """Counts committed retries, by whether their publish is confirmed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._retries = Instruments(registry).counter(Metric.RETRIES)

    def retried(self, *, is_published: bool) -> None:
        """Count a retry that its own call published, or left to the sweeper."""
        self._retries.labels("published" if is_published else "queued").inc()

    def swept(self, count: int) -> None:
        self._retries.labels("swept").inc(count)
