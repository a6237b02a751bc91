"""What only the gateway measures."""

from typing import Final

from ringback.contract.event import Unreadable
from ringback.contract.telemetry.event_types import EVENT_TYPE_LABELS
from ringback.contract.telemetry.metric_spec import Kind, MetricSpec
from ringback.contract.telemetry.service_name import Service

GATEWAY: Final = (Service.GATEWAY,)

NOT_CONFIRMED: Final = ("link_down", "blocked", "timeout", "link_lost", "refused")

REFUSAL_REASONS: Final = (
    "bad_http",
    "broken_body",
    "busy",
    "no_secret",
    "not_found",
    "our_fault",
    "too_large",
    "too_slow",
    "wrong_content_type",
    "wrong_method",
    "wrong_secret",
    *(why.name.lower() for why in Unreadable),
    *NOT_CONFIRMED,
)


class GatewayMetric:
    ACCEPTED: Final = MetricSpec(
        name="webhook_total",
        kind=Kind.COUNTER,
        help="Webhooks accepted.",
        services=GATEWAY,
        labels={"event_type": EVENT_TYPE_LABELS},
    )
    REFUSED: Final = MetricSpec(
        name="webhook_refused_total",
        kind=Kind.COUNTER,
        help="Requests not accepted.",
        services=GATEWAY,
        labels={"reason": REFUSAL_REASONS},
    )
    PUBLISH_SECONDS: Final = MetricSpec(
        name="webhook_publish_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a publish to the broker's confirm, or to its failure.",
        services=GATEWAY,
        labels={"outcome": ("confirmed", *NOT_CONFIRMED)},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
    )
    PENDING_ROWS: Final = MetricSpec(
        name="webhook_pending_rows_total",
        kind=Kind.COUNTER,
        help="Pending rows for the log.",
        services=GATEWAY,
        labels={"outcome": ("written", "dropped")},
    )
