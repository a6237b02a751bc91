"""The gauges of the metrics service. What is not known is absent: a gauge never lies."""

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ringback.contract.telemetry import Metric
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.runtime.instruments import gauge_family
from services.metrics.last_known import LastKnown

Clock = Callable[[], float]


class Observer(Collector):
    """Exposes the last readings while they are fresh, and whether the broker is connected."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        max_age_s: float,
        broker_is_up: Callable[[], bool],
        clock: Clock = time.monotonic,
    ) -> None:
        self._queues = LastKnown(max_age_s)
        self._log = LastKnown(max_age_s)
        self._broker_is_up = broker_is_up
        self._clock = clock
        registry.register(self)

    def queues_read(self, depths: dict[str, int]) -> None:
        self._queues.note(depths, self._clock())

    def dead_letters_counted(self, unresolved: int) -> None:
        self._log.note({"unresolved": unresolved}, self._clock())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now_s = self._clock()
        depths = self._queues.tell(now_s)
        queues = gauge_family(Metric.QUEUE_MESSAGES)
        for name, depth in depths.items():
            queues.add_metric([name], depth)
        yield queues
        dead = gauge_family(Metric.DEAD_LETTER_QUEUE_SIZE)
        unresolved = self._log.tell(now_s).get("unresolved")
        waiting = depths.get(DEAD_LETTER_QUEUE)
        if unresolved is not None and waiting is not None:
            dead.add_metric([], unresolved + waiting)
        yield dead
        link = gauge_family(Metric.BROKER_LINK_UP)
        link.add_metric([], int(self._broker_is_up()))
        yield link
