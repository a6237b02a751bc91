from collections.abc import Iterable
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

from ringback.contract.telemetry.metric_spec import Kind, MetricSpec, Open


class Instruments:
    """Makes instruments of prometheus-client from the declarations of the contract.

    Each series that is known ahead is exported at 0. Which they are, the declared label values say;
    `known` says it for a label that is open, and may leave out values that hardly ever come.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # The client would add a series of its own to each of ours: when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the client gives it no type

    def counter(self, spec: MetricSpec, **known: Iterable[str]) -> Counter:
        assert spec.kind is Kind.COUNTER, spec.name
        counter = Counter(spec.name, spec.help, tuple(spec.labels), registry=self._registry)
        _begin(counter, spec, known)
        return counter

    def gauge(self, spec: MetricSpec, **known: Iterable[str]) -> Gauge:
        assert spec.kind is Kind.GAUGE, spec.name
        gauge = Gauge(spec.name, spec.help, tuple(spec.labels), registry=self._registry)
        _begin(gauge, spec, known)
        return gauge

    def histogram(self, spec: MetricSpec, **known: Iterable[str]) -> Histogram:
        assert spec.kind is Kind.HISTOGRAM, spec.name
        assert spec.buckets, spec.name
        histogram = Histogram(
            spec.name,
            spec.help,
            tuple(spec.labels),
            registry=self._registry,
            buckets=spec.buckets,
        )
        _begin(histogram, spec, known)
        return histogram


def gauge_family(spec: MetricSpec) -> GaugeMetricFamily:
    """For gauges that are absent while their value is not known; a collector yields them."""
    assert spec.kind is Kind.GAUGE, spec.name
    return GaugeMetricFamily(spec.name, spec.help, labels=tuple(spec.labels))


def _begin(
    instrument: Counter | Gauge | Histogram, spec: MetricSpec, known: dict[str, Iterable[str]]
) -> None:
    if not spec.labels:
        return
    values = [tuple(known.get(label, _known(spec, label))) for label in spec.labels]
    for series in product(*values):
        instrument.labels(*series)


def _known(spec: MetricSpec, label: str) -> tuple[str, ...]:
    values = spec.labels[label]
    return () if isinstance(values, Open) else values
