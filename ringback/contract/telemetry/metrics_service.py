"""The metrics and log lines of the metrics service."""

from typing import Final

from ringback.contract.status import Status
from ringback.contract.telemetry.spec import Kind, LogEventSpec, MetricSpec, Open, Service

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


class MetricsServiceLogEvent:
    METRICS_READY: Final = LogEventSpec(
        "metrics.ready",
        "The metrics service answers from now on.",
        services=METRICS,
        fields=("grpc_port", "rest_port"),
    )
    METRICS_STOPPING: Final = LogEventSpec(
        "metrics.stopping", "The metrics service was told to stop.", services=METRICS
    )
    METRICS_STOPPED: Final = LogEventSpec("metrics.stopped", "No call is open.", services=METRICS)
    RPC_FINISHED: Final = LogEventSpec(
        "rpc.finished",
        "One call of the API ended, by gRPC or by REST.",
        services=METRICS,
        fields=(
            "method",
            "protocol",
            "code",
            "reason",
            "cause",
            "duration_ms",
            "answers",
            "role",
            "org_id",
            "subject",
            "peer",
            "trace_id",
        ),
    )
    RPC_FAILED: Final = LogEventSpec(
        "rpc.failed",
        "A call met a bug of ours; `exception` says which.",
        services=METRICS,
        fields=("method",),
    )
    BULK_RETRY_RESULT_NOT_WRITTEN: Final = LogEventSpec(
        "bulk_retry.result_not_written",
        "How a bulk retry ended could not be written to the audit; this line says it instead.",
        services=METRICS,
        fields=(
            "run",
            "reason",
            "state",
            "message",
            "retried",
            "completed",
            "failed_again",
            "skipped",
        ),
    )
    RETRIES_SWEPT: Final = LogEventSpec(
        "retries.swept",
        "Retries that were written but not published are published now.",
        services=METRICS,
        fields=("count",),
    )
    RETRIES_NOT_SWEPT: Final = LogEventSpec(
        "retries.not_swept",
        "Retries that wait cannot be looked for; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    RETRIES_NOT_PRUNED: Final = LogEventSpec(
        "retries.not_pruned",
        "Old retries could not be deleted; it is tried again.",
        services=METRICS,
        fields=("reason",),
    )
    RETRY_NOT_CONFIRMED: Final = LogEventSpec(
        "retry.not_confirmed",
        "A retry is written, but the broker did not confirm it; it is swept later.",
        services=METRICS,
        fields=("job_id", "reason"),
    )
    RETRY_NOT_MARKED: Final = LogEventSpec(
        "retry.not_marked",
        "A retry is published, but could not be marked so; it may be published once more.",
        services=METRICS,
        fields=("job_id", "reason"),
    )
    STATS_FOLDING_FAILED: Final = LogEventSpec(
        "stats_folding.failed",
        "Statistics could not be folded; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    QUEUE_HEALTH_LOG_NOT_READ: Final = LogEventSpec(
        "queue_health.log_not_read",
        "Dead letters could not be counted in the log; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    KEYS_NOT_TAKEN: Final = LogEventSpec(
        "jwks.rejected",
        "The file of keys cannot be used; the keys from before stay.",
        services=METRICS,
        fields=("reason",),
    )
    KEYS_READ_AGAIN: Final = LogEventSpec(
        "jwks.reloaded",
        "The file of keys has changed and was read.",
        services=METRICS,
        fields=("keys",),
    )
    MANAGEMENT_API_UNAVAILABLE: Final = LogEventSpec(
        "management_api.unavailable",
        "The broker's management API does not tell; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    SLACK_SENT: Final = LogEventSpec(
        "slack.sent",
        "Slack took a message: of `dead_letters`, or that it is `quiet`.",
        services=METRICS,
        fields=("kind", "groups", "dead_letters"),
    )
    SLACK_NOT_SENT: Final = LogEventSpec(
        "slack.not_sent",
        "Slack did not take a message; it is sent again after the pause.",
        services=METRICS,
        fields=("reason", "failures", "pause_s"),
    )
    SLACK_DROPPED: Final = LogEventSpec(
        "slack.dropped",
        "Slack refused a message for good, or it could not be sent for too long. Nobody was told.",
        services=METRICS,
        fields=("reason", "groups", "dead_letters"),
    )
    SLACK_DATABASE_UNAVAILABLE: Final = LogEventSpec(
        "slack.database_unavailable",
        "What Slack is to be told cannot be read now; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
