"""All telemetry of Ringback, declared once: metrics, log lines, spans, attributes."""

from ringback.contract.telemetry.catalog import LogEvent, Metric, all_log_events, all_metrics
from ringback.contract.telemetry.spec import (
    EVENT_TYPE_LABELS,
    KNOWN_EVENT_TYPES,
    OTHER_EVENT_TYPE,
    event_type_label,
)

__all__ = [
    "EVENT_TYPE_LABELS",
    "KNOWN_EVENT_TYPES",
    "OTHER_EVENT_TYPE",
    "LogEvent",
    "Metric",
    "all_log_events",
    "all_metrics",
    "event_type_label",
]
