"""What only the metrics service measures."""

from typing import Final

from ringback.contract.status import Status
from ringback.contract.telemetry.metric_spec import Kind, MetricSpec, Open
from ringback.contract.telemetry.service_name import Service

METRICS: Final = (Service.METRICS,)

GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

_QUEUE: Final = Open("a queue of the topology; each retry queue of the retry schedule is one")
_METHOD: Final = Open("the full name of a method of the contract in `protos/`")
_PROTOCOL: Final = ("grpc", "rest")


class MetricsServiceMetric:
    DEAD_LETTER_QUEUE_SIZE: Final = MetricSpec(
        name="webhook_dead_letter_queue_size",
        kind=Kind.GAUGE,
        help="Dead letters that nobody has resolved: in the log, and waiting to be recorded.",
        services=METRICS,
    )
    QUEUE_MESSAGES: Final = MetricSpec(
        name="webhook_queue_messages",
        kind=Kind.GAUGE,
        help="Messages ready in a queue.",
        services=METRICS,
        labels={"queue": _QUEUE},
    )
    QUEUE_CONSUMERS: Final = MetricSpec(
        name="webhook_queue_consumers",
        kind=Kind.GAUGE,
        help="Consumers of a queue.",
        services=METRICS,
        labels={"queue": _QUEUE},
    )
    QUEUE_UNACKED: Final = MetricSpec(
        name="webhook_queue_unacked",
        kind=Kind.GAUGE,
        help="Messages of a queue that are in somebody's hand; needs the management API.",
        services=METRICS,
        labels={"queue": _QUEUE},
    )
    DELIVERIES: Final = MetricSpec(
        name="webhook_deliveries",
        kind=Kind.GAUGE,
        help="Webhooks that were accepted in the last 24 hours, by what became of them.",
        services=METRICS,
        labels={"status": tuple(status.value for status in Status)},
    )
    OLDEST_AGE: Final = MetricSpec(
        name="webhook_oldest_age_seconds",
        kind=Kind.GAUGE,
        help="Seconds, at least, since the oldest webhook that is not finished was accepted: one "
        "not attempted yet, or one that waits for its next attempt. 0 where there is none.",
        services=METRICS,
        labels={"status": (Status.PENDING.value, Status.FAILED.value)},
    )
    LEDGER_ACCEPTED: Final = MetricSpec(
        name="webhook_ledger_accepted",
        kind=Kind.GAUGE,
        help="Webhooks that the lives of gateways of the last 48 hours say they accepted.",
        services=METRICS,
    )
    LEDGER_DEFICIT: Final = MetricSpec(
        name="webhook_ledger_deficit",
        kind=Kind.GAUGE,
        help="Webhooks among them that have no row in the log. Above 0 for long: lost.",
        services=METRICS,
    )
    PARTITIONS_AHEAD: Final = MetricSpec(
        name="webhook_partitions_ahead",
        kind=Kind.GAUGE,
        help="Days of the log made ahead, to the first gap; -1 when today has no partition.",
        services=METRICS,
    )
    EXTRA_DAYS: Final = MetricSpec(
        name="webhook_extra_partitions",
        kind=Kind.GAUGE,
        help="Days of the log that were made because a webhook needed them; 100 at most.",
        services=METRICS,
    )
    RETRIES: Final = MetricSpec(
        name="webhook_manual_retries_total",
        kind=Kind.COUNTER,
        help="Retries by people, by whether the broker is known to have them.",
        services=METRICS,
        labels={"outcome": ("published", "queued", "swept")},
    )
    RPC_CALLS: Final = MetricSpec(
        name="rpc_server_calls_total",
        kind=Kind.COUNTER,
        help="Calls that ended, by how they ended.",
        services=METRICS,
        labels={"method": _METHOD, "protocol": _PROTOCOL, "code": GRPC_CODES},
    )
    RPC_SECONDS: Final = MetricSpec(
        name="rpc_server_call_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a call to its answer; streams are left out.",
        services=METRICS,
        labels={"method": _METHOD, "protocol": _PROTOCOL},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    SLACK_MESSAGES: Final = MetricSpec(
        name="ringback_slack_messages_total",
        kind=Kind.COUNTER,
        help="Messages to Slack: sent, tried in vain (rate_limited, failed), dropped (the others).",
        services=METRICS,
        labels={
            "outcome": ("sent", "rate_limited", "failed", "refused", "expired", "no_room"),
        },
    )
