"""The metrics and log lines about the turns of ordered webhooks."""

from typing import Final

from ringback.contract.telemetry.processor import PROCESSOR
from ringback.contract.telemetry.spec import Kind, LogEventSpec, MetricSpec


class OrderMetric:
    ORDER_STOPPED_SECONDS: Final = MetricSpec(
        name="webhook_order_stopped_seconds",
        kind=Kind.GAUGE,
        help="Age in seconds of the oldest turn behind which other webhooks are parked.",
        services=PROCESSOR,
    )
    ORDER_PASSED: Final = MetricSpec(
        name="webhook_order_passed_total",
        kind=Kind.COUNTER,
        help="Ordered webhooks that kept later ones waiting for too long and run late.",
        services=PROCESSOR,
    )


class OrderLogEvent:
    ORDER_NOT_CHECKED: Final = LogEventSpec(
        "order.not_checked",
        "The turns of ordered webhooks could not be checked; the processor tries again.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    ORDER_PASSED: Final = LogEventSpec(
        "order.passed",
        "An ordered webhook kept later ones of its call waiting for too long. They run "
        "without it, and it runs late.",
        services=PROCESSOR,
        fields=("job_id",),
    )
