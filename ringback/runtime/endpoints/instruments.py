"""The metric and the log lines of the endpoints file."""

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.observability.instruments import Instruments

_MAX_ENTRIES = 20


class EndpointsFileInstruments:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._is_valid = Instruments(registry).gauge(Metric.ENDPOINTS_FILE_VALID)
        self._is_valid.set(1)
        self.problems: list[str] = []
        """Why the file is not usable now; empty if it is."""
        self._log = structlog.get_logger()

    def endpoints_reloaded(self, changed: list[str], *, count: int) -> None:
        self._is_valid.set(1)
        self.problems = []
        self._log.info(LogEvent.ENDPOINTS_RELOADED, count=count, changed=changed[:_MAX_ENTRIES])

    def endpoints_rejected(self, problems: list[str]) -> None:
        self._is_valid.set(0)
        self.problems = problems
        self._log.error(
            LogEvent.ENDPOINTS_REJECTED, count=len(problems), problems=problems[:_MAX_ENTRIES]
        )

    def failed(self) -> None:
        """Log an unexpected exception. Call it within an except block."""
        self._is_valid.set(0)
        self.problems = ["internal error"]
        self._log.exception(LogEvent.ENDPOINTS_REJECTED, count=1, problems=self.problems)
