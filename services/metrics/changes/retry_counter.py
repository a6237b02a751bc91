from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import Metric
from ringback.runtime.observability.instruments import Instruments


class RetryCounter:
    """Counts committed retries, by whether their publish is confirmed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._retries = Instruments(registry).counter(Metric.RETRIES)

    def retried(self, *, is_published: bool) -> None:
        """Count a retry that its own call published, or left to the sweeper."""
        self._retries.labels("published" if is_published else "queued").inc()

    def swept(self, count: int) -> None:
        self._retries.labels("swept").inc(count)
