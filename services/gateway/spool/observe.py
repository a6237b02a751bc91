"""Everything by which the spool is observed: metrics and log lines, as verbs."""

from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.instruments import Instruments
from services.gateway.spool.spool_outcome import SpoolOutcome


class ObserveSpool:
    """Counts and tells, one line at each end of what lasts. It never raises and never waits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._log = structlog.get_logger()
        self._instruments = Instruments(registry)
        spoolings = self._instruments.counter(Metric.SPOOLINGS)
        self._spoolings = {outcome: spoolings.labels(outcome.value) for outcome in SpoolOutcome}
        self._drained = self._instruments.counter(Metric.DRAINED)
        self._drained_since_empty = 0
        self._is_filling = False
        self._has_failed = False

    def watch(
        self,
        *,
        count: Callable[[], int],
        size_bytes: Callable[[], int],
        oldest_age_s: Callable[[], float],
        damaged_rows: Callable[[], int],
        kept_files: Callable[[], int],
        is_usable: Callable[[], bool],
        is_breaker_open: Callable[[], bool],
    ) -> None:
        """Export what each of these says when it is asked."""
        gauges = {
            Metric.SPOOL_MESSAGES: count,
            Metric.SPOOL_BYTES: size_bytes,
            Metric.SPOOL_OLDEST_AGE: oldest_age_s,
            Metric.SPOOL_USABLE: is_usable,
            Metric.BREAKER_OPEN: is_breaker_open,
        }
        for metric, ask in gauges.items():
            self._instruments.gauge(metric).set_function(ask)
        damaged = self._instruments.gauge(Metric.SPOOL_DAMAGED)
        damaged.labels("row").set_function(damaged_rows)
        damaged.labels("file").set_function(kept_files)

    def spool_none(self) -> None:
        self._log.warning(LogEvent.SPOOL_NONE)

    def spool_opened(self, *, path: str, waiting: int) -> None:
        self._has_failed = False
        self._log.info(LogEvent.SPOOL_OPENED, path=path, waiting=waiting)

    def spool_set_aside(self, *, path: str, missing: int) -> None:
        self._log.error(LogEvent.SPOOL_SET_ASIDE, path=path, lost=missing)

    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None:
        self._log.warning(LogEvent.SPOOL_SALVAGED, path=path, count=count, unreadable=unreadable)

    def row_set_aside(self, *, place: int, reason: str) -> None:
        self._log.error(LogEvent.SPOOL_ROW_SET_ASIDE, place=place, reason=reason)

    def spool_failed(self, error: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._log.error(LogEvent.SPOOL_FAILED, reason=f"{type(error).__name__}: {error}")

    def spooling_ended(self, outcome: SpoolOutcome) -> None:
        self._spoolings[outcome].inc()
        if outcome is SpoolOutcome.SPOOLED:
            self._has_failed = False
            if not self._is_filling:
                self._is_filling = True
                self._log.warning(LogEvent.SPOOL_FILLING)

    def drained(self, count: int, *, left: int) -> None:
        self._drained.inc(count)
        self._drained_since_empty += count
        if left == 0:
            self._log.info(LogEvent.SPOOL_DRAINED, count=self._drained_since_empty)
            self._drained_since_empty = 0
            self._is_filling = False

    def failed(self) -> None:
        """Within an except block: what happened there was not foreseen."""
        self._log.exception(LogEvent.GATEWAY_FAILED)
