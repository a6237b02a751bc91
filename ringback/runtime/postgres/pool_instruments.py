import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import Metric
from ringback.runtime.observability.instruments import Instruments


class PoolInstruments:
    """Measures a connection pool: its size at each scrape, and each wait for a connection."""

    def __init__(self, registry: CollectorRegistry) -> None:
        instruments = Instruments(registry)
        self._connections = instruments.gauge(Metric.POOL_CONNECTIONS)
        self._most = instruments.gauge(Metric.POOL_MAX_CONNECTIONS)
        self._wait = instruments.histogram(Metric.POOL_WAIT_SECONDS)

    def watch(self, pool: asyncpg.Pool) -> None:
        self._most.set(pool.get_max_size())
        self._connections.labels("idle").set_function(pool.get_idle_size)
        self._connections.labels("used").set_function(
            lambda: pool.get_size() - pool.get_idle_size()
        )

    def waited(self, seconds: float) -> None:
        """Time spent waiting for a connection, including failed waits."""
        self._wait.observe(seconds)
