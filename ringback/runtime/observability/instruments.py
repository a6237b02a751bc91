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

from ringback.contract.telemetry.spec import Kind, MetricSpec, Open


class Instruments:
    """Creates prometheus-client instruments from the declarations of the contract.

    Each series that is known in advance is exported at 0. The declared label values define which
    these are. `known` defines them for an open label, and may leave out rare values.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # Otherwise the client adds a creation-time series to each of ours.
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
    """For gauges that are absent while their value is unknown; a collector yields them."""
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
