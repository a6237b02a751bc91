"""All telemetry of Ringback, declared once: metrics, log lines, spans, attributes."""

from ringback.contract.telemetry.event_types import (
    EVENT_TYPE_LABELS,
    KNOWN_EVENT_TYPES,
    OTHER_EVENT_TYPE,
    event_type_label,
)
from ringback.contract.telemetry.log_events import LogEvent
from ringback.contract.telemetry.metrics import Metric

__all__ = [
    "EVENT_TYPE_LABELS",
    "KNOWN_EVENT_TYPES",
    "OTHER_EVENT_TYPE",
    "LogEvent",
    "Metric",
    "event_type_label",
]
