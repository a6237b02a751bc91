"""Instruments of the alerts: a count of messages by outcome, and log lines."""

from enum import StrEnum

import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.observability.instruments import Instruments
from ringback.services.metrics.slack.client import RATE_LIMITED

log = structlog.get_logger()


class SendOutcome(StrEnum):
    """The outcome of one message, or of one attempt to send it."""

    SENT = "sent"
    RATE_LIMITED = "rate_limited"
    FAILED = "failed"
    REFUSED = "refused"
    EXPIRED = "expired"
    NO_ROOM = "no_room"


class SlackInstruments:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._messages = Instruments(registry).counter(Metric.SLACK_MESSAGES)
        self._is_unavailable = False

    def sent(self, kind: str, groups: int, dead_letters: int) -> None:
        self._messages.labels(SendOutcome.SENT).inc()
        log.info(LogEvent.SLACK_SENT, kind=kind, groups=groups, dead_letters=dead_letters)

    def not_sent(self, reason: str, failures: int, pause_s: float) -> None:
        is_limited = reason == RATE_LIMITED
        self._messages.labels(SendOutcome.RATE_LIMITED if is_limited else SendOutcome.FAILED).inc()
        log.warning(
            LogEvent.SLACK_NOT_SENT, reason=reason, failures=failures, pause_s=round(pause_s, 1)
        )

    def rejected(self, reason: str, groups: int, dead_letters: int) -> None:
        self._dropped(SendOutcome.REFUSED, reason, groups, dead_letters)

    def expired(self, groups: int, dead_letters: int) -> None:
        self._dropped(SendOutcome.EXPIRED, "expired", groups, dead_letters)

    def no_room(self, dead_letters: int) -> None:
        """Record dead letters that are not announced, because there are too many groups."""
        self._dropped(SendOutcome.NO_ROOM, "no_room", 0, dead_letters)

    def database_unavailable(self, reason: str) -> None:
        if not self._is_unavailable:
            log.warning(LogEvent.SLACK_DATABASE_UNAVAILABLE, reason=reason)
        self._is_unavailable = True

    def database_available(self) -> None:
        self._is_unavailable = False

    def _dropped(self, outcome: SendOutcome, reason: str, groups: int, dead_letters: int) -> None:
        self._messages.labels(outcome).inc()
        log.error(LogEvent.SLACK_DROPPED, reason=reason, groups=groups, dead_letters=dead_letters)
