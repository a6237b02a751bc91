"""The metrics and log lines about the turns of ordered webhooks."""

from typing import Final

from ringback.contract.telemetry.spec import PROCESSOR


class OrderMetric:
    ORDER_STOPPED_SECONDS: Final = PROCESSOR.gauge(
        "webhook_order_stopped_seconds",
        "Age in seconds of the oldest turn behind which other webhooks are parked.",
    )
    ORDER_PASSED: Final = PROCESSOR.counter(
        "webhook_order_passed_total",
        "Ordered webhooks that kept later ones waiting for too long and run late.",
    )


class OrderLogEvent:
    ORDER_NOT_CHECKED: Final = PROCESSOR.log(
        "order.not_checked",
        "The turns of ordered webhooks could not be checked; the processor tries again.",
        fields="reason detail",
    )
    ORDER_PASSED: Final = PROCESSOR.log(
        "order.passed",
        "An ordered webhook kept later ones of its call waiting for too long. They run "
        "without it, and it runs late.",
        fields="job_id",
    )
