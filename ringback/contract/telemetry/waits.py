"""The metrics and log lines about webhooks that wait in PostgreSQL, and about their turns."""

from typing import Final

from ringback.contract.status import WaitReason
from ringback.contract.telemetry.spec import PROCESSOR


class WaitMetric:
    WAITS: Final = PROCESSOR.counter(
        "webhook_waits_total",
        "Webhooks that began to wait in PostgreSQL, by reason.",
        reason=tuple(reason.value for reason in WaitReason),
    )
    WAITS_PUBLISHED: Final = PROCESSOR.counter(
        "webhook_waits_published_total",
        "Webhooks that were published after a wait in PostgreSQL, by its reason.",
        reason=tuple(reason.value for reason in WaitReason),
    )
    WAITS_SWEEP_SECONDS: Final = PROCESSOR.histogram(
        "webhook_waits_sweep_duration_seconds",
        "Seconds to find the waits that are due and to publish up to 100 of them.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
    )
    ORDER_STOPPED_SECONDS: Final = PROCESSOR.gauge(
        "webhook_order_stopped_seconds",
        "Age in seconds of the oldest turn behind which other webhooks are parked.",
    )
    ORDER_PASSED: Final = PROCESSOR.counter(
        "webhook_order_passed_total",
        "Ordered webhooks that kept later ones waiting for too long and run late.",
    )


class WaitLogEvent:
    WEBHOOK_WAITS: Final = PROCESSOR.log(
        "webhook.waits",
        "A webhook waits in PostgreSQL for its next attempt.",
        fields="job_id org_id event_type reason destination delay_ms trace_id span_id",
    )
    WAITS_NOT_SWEPT: Final = PROCESSOR.log(
        "waits.not_swept",
        "Webhooks that wait in PostgreSQL could not be published, because it is unavailable or "
        "refuses the statement; one line per outage.",
        fields="reason detail",
    )
    WAITS_SWEEP_FAILED: Final = PROCESSOR.log(
        "waits.sweep_failed",
        "A bug kept a webhook that waits in PostgreSQL from being published; `exception` has the "
        "traceback. The processor tries again.",
        fields="job_id",
    )
    WAIT_NOT_PUBLISHED: Final = PROCESSOR.log(
        "wait.not_published",
        "The broker did not confirm a webhook that waited in PostgreSQL; it is published again.",
        fields="job_id reason",
    )
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
