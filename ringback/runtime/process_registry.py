from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)

import ringback
from ringback.contract.telemetry import Metric
from ringback.contract.telemetry.service_name import Service
from ringback.runtime.instruments import Instruments


def process_registry(service: Service) -> CollectorRegistry:
    """A registry for the metrics of a process, with what every process of ours tells of itself.

    That is its version, and the client's own `process_*` and `python_*`.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    built = Instruments(registry).gauge(Metric.BUILD_INFO)
    built.labels(ringback.__version__, service.value).set(1)
    return registry
