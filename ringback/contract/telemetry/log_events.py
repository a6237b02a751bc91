from ringback.contract.telemetry.declared import declared
from ringback.contract.telemetry.gateway_log_events import GatewayLogEvent
from ringback.contract.telemetry.log_event_spec import LogEventSpec
from ringback.contract.telemetry.metrics_service_log_events import MetricsServiceLogEvent
from ringback.contract.telemetry.processor_log_events import ProcessorLogEvent
from ringback.contract.telemetry.shared_log_events import SharedLogEvent


class LogEvent(GatewayLogEvent, ProcessorLogEvent, MetricsServiceLogEvent, SharedLogEvent):
    """Every kind of log line. There is one wide line per webhook, attempt and call."""


def all_log_events() -> tuple[LogEventSpec, ...]:
    return tuple(declared(LogEvent, LogEventSpec).values())
