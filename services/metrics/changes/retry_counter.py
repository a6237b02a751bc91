from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import Metric
from ringback.runtime.instruments import Instruments


class RetryCounter:
    """Counts the retries that were committed, by what is known of their publish."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._retries = Instruments(registry).counter(Metric.RETRIES)

    def retried(self, *, is_published: bool) -> None:
        """One that its own call has published, or has left to the sweeper."""
        self._retries.labels("published" if is_published else "queued").inc()

    def swept(self, count: int) -> None:
        self._retries.labels("swept").inc(count)
