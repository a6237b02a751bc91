"""The catalog of all metrics and log lines."""

from ringback.contract.telemetry.all_services import SharedLogEvent, SharedMetric
from ringback.contract.telemetry.destinations import DestinationLogEvent, DestinationMetric
from ringback.contract.telemetry.gateway import GatewayLogEvent, GatewayMetric
from ringback.contract.telemetry.metrics_service import MetricsServiceLogEvent, MetricsServiceMetric
from ringback.contract.telemetry.processor import ProcessorLogEvent, ProcessorMetric
from ringback.contract.telemetry.questions import QuestionLogEvent, QuestionMetric
from ringback.contract.telemetry.spec import LogEventSpec, MetricSpec, declared
from ringback.contract.telemetry.waits import WaitLogEvent, WaitMetric


class Metric(
    GatewayMetric,
    QuestionMetric,
    ProcessorMetric,
    DestinationMetric,
    WaitMetric,
    MetricsServiceMetric,
    SharedMetric,
):
    """Every metric.

    Four names are older than Ringback and used by existing dashboards: `webhook_total`,
    `webhook_completed_total`, `webhook_processing_duration_seconds` and
    `webhook_dead_letter_queue_size`.
    """


class LogEvent(
    GatewayLogEvent,
    QuestionLogEvent,
    ProcessorLogEvent,
    DestinationLogEvent,
    WaitLogEvent,
    MetricsServiceLogEvent,
    SharedLogEvent,
):
    """Every kind of log line. There is one wide line per webhook, attempt and call."""


def all_metrics() -> tuple[MetricSpec, ...]:
    return tuple(declared(Metric, MetricSpec).values())


def all_log_events() -> tuple[LogEventSpec, ...]:
    return tuple(declared(LogEvent, LogEventSpec).values())
