from ringback.contract.telemetry.declared import declared
from ringback.contract.telemetry.gateway_metrics import GatewayMetric
from ringback.contract.telemetry.metric_spec import MetricSpec
from ringback.contract.telemetry.metrics_service_metrics import MetricsServiceMetric
from ringback.contract.telemetry.processor_metrics import ProcessorMetric
from ringback.contract.telemetry.shared_metrics import SharedMetric


class Metric(GatewayMetric, ProcessorMetric, MetricsServiceMetric, SharedMetric):
    """Every metric.

    Four names are older than Ringback and used by existing dashboards: `webhook_total`,
    `webhook_completed_total`, `webhook_processing_duration_seconds` and
    `webhook_dead_letter_queue_size`.
    """


def all_metrics() -> tuple[MetricSpec, ...]:
    return tuple(declared(Metric, MetricSpec).values())
