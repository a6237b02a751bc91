from enum import StrEnum


class Service(StrEnum):
    """The emitting service. The value is in each log line, and is the Prometheus job."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"


EVERY_SERVICE = tuple(Service)
