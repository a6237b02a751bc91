from enum import StrEnum


class Service(StrEnum):
    """Who emits. The word stands in each log line, and is the job of Prometheus."""

    GATEWAY = "gateway"
    PROCESSOR = "processor"
    METRICS = "metrics"


EVERY_SERVICE = tuple(Service)
