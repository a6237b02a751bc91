from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

import ringback
from ringback.contract.telemetry import Metric
from ringback.contract.telemetry.spec import Service
from ringback.runtime.observability.instruments import Instruments


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
