"""Metrics of a process: instruments from the declarations, exemplars, and the registry."""

from collections.abc import Iterable
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

import ringback
from ringback.contract.telemetry import Metric
from ringback.contract.telemetry.spec import Kind, MetricSpec, Open, Service
from ringback.contract.trace_context import TraceContext


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


class Exemplars:
    """Links samples to traces: an exemplar names one trace in which the sample was taken.

    Only traces that this process records are named. Only the OpenMetrics format shows exemplars.
    """

    def __init__(self, *, is_traced: bool) -> None:
        self._is_traced = is_traced

    def of(self, trace: TraceContext) -> dict[str, str] | None:
        """The exemplar argument for prometheus-client."""
        return {"trace_id": trace.trace_id} if self._is_traced and trace.is_sampled else None


def process_registry(service: Service) -> CollectorRegistry:
    """A metrics registry for a process, with the metrics that every process exports.

    Those are its version and the client's `process_*` and `python_*`.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    built = Instruments(registry).gauge(Metric.BUILD_INFO)
    built.labels(ringback.__version__, service.value).set(1)
    return registry
