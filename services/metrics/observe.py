"""The gauges of the metrics service. An unknown value is absent, never stale or guessed."""

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ringback.contract.status import Status
from ringback.contract.telemetry import Metric
from ringback.contract.telemetry.spec import MetricSpec
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.runtime.observability.instruments import gauge_family
from services.metrics.last_known import LastKnown
from services.metrics.log_figures import LogFigures
from services.metrics.queue_depth import QueueDepth

Clock = Callable[[], float]

_UNRESOLVED = "unresolved"
_IN_FLIGHT = "in_flight"
_FIGURES: Mapping[str, MetricSpec] = {
    "accepted": Metric.LEDGER_ACCEPTED,
    "deficit": Metric.LEDGER_DEFICIT,
    "days_ahead": Metric.PARTITIONS_AHEAD,
    "extra_days": Metric.EXTRA_DAYS,
}
_AGES = {Status.PENDING: "oldest_pending_s", Status.FAILED: "oldest_failed_s"}
_ENDED = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.DEAD_LETTER: "dead_letter",
    Status.DUPLICATE: "duplicate",
}


class Observer(Collector):
    """Exposes the last readings while they are fresh, and whether the broker is connected."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        max_age_s: float,
        broker_is_up: Callable[[], bool],
        clock: Clock = time.monotonic,
    ) -> None:
        self._ready = LastKnown(max_age_s)
        self._consumers = LastKnown(max_age_s)
        self._unacked = LastKnown(max_age_s)
        self._log = LastKnown(max_age_s)
        self._broker_is_up = broker_is_up
        self._clock = clock
        registry.register(self)

    def queues_read(self, depths: Mapping[str, QueueDepth]) -> None:
        now_s = self._clock()
        self._ready.note({name: depth.messages for name, depth in depths.items()}, now_s)
        self._consumers.note({name: depth.consumers for name, depth in depths.items()}, now_s)

    def unacked_read(self, unacked: Mapping[str, int]) -> None:
        self._unacked.note(unacked, self._clock())

    def dead_letters_counted(self, unresolved: int) -> None:
        self._log.note({_UNRESOLVED: unresolved}, self._clock())

    def in_flight_read(self, in_flight: int) -> None:
        """Record how many webhooks the processors report in flight."""
        self._log.note({_IN_FLIGHT: in_flight}, self._clock())

    def figures_read(self, figures: LogFigures) -> None:
        names = figures.__dataclass_fields__
        self._log.note({name: getattr(figures, name) for name in names}, self._clock())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now_s = self._clock()
        ready, log = self._ready.tell(now_s), self._log.tell(now_s)
        yield _by_queue(Metric.QUEUE_MESSAGES, ready)
        yield _by_queue(Metric.QUEUE_CONSUMERS, self._consumers.tell(now_s))
        yield _by_queue(Metric.QUEUE_UNACKED, self._unacked.tell(now_s))
        yield _dead_letters(log.get(_UNRESOLVED), ready.get(DEAD_LETTER_QUEUE))
        yield _by_status(Metric.DELIVERIES, _deliveries(log))
        yield _by_status(
            Metric.OLDEST_AGE,
            {status: log[name] for status, name in _AGES.items() if name in log},
        )
        for name, metric in _FIGURES.items():
            yield _alone(metric, log.get(name))
        yield _alone(Metric.BROKER_CONNECTED, int(self._broker_is_up()))


def _deliveries(log: Mapping[str, float]) -> dict[Status, float]:
    """Processors report how many are in flight; the other unfinished ones are waiting."""
    told = {status: log[name] for status, name in _ENDED.items() if name in log}
    if "unfinished" in log and _IN_FLIGHT in log:
        in_flight = min(log[_IN_FLIGHT], log["unfinished"])
        told |= {Status.PENDING: log["unfinished"] - in_flight, Status.PROCESSING: in_flight}
    return told


def _dead_letters(unresolved: float | None, waiting: float | None) -> GaugeMetricFamily:
    known = unresolved is not None and waiting is not None
    size = (unresolved or 0) + (waiting or 0)
    return _alone(Metric.DEAD_LETTER_QUEUE_SIZE, size if known else None)


def _alone(metric: MetricSpec, value: float | None) -> GaugeMetricFamily:
    family = gauge_family(metric)
    if value is not None:
        family.add_metric([], value)
    return family


def _by_queue(metric: MetricSpec, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = gauge_family(metric)
    for name, value in values.items():
        family.add_metric([name], value)
    return family


def _by_status(metric: MetricSpec, values: Mapping[Status, float]) -> GaugeMetricFamily:
    return _by_queue(metric, {status.value: value for status, value in values.items()})
