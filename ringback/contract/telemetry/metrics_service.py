"""The metrics and log lines of the metrics service."""

from typing import Final

from ringback.contract.status import Status, WaitReason
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

_QUEUE: Final = Open("a queue of the topology, including each retry queue")
_METHOD: Final = Open("the full name of a method in `protos/`")
_TRANSPORT: Final = ("grpc", "rest", "console")


class MetricsServiceMetric:
    DEAD_LETTER_QUEUE_SIZE: Final = MetricSpec(
        name="webhook_dead_letter_queue_size",
        kind=Kind.GAUGE,
        help="Unresolved dead letters: those in the log, and those waiting to be recorded.",
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
        help="Unacknowledged messages of a queue; needs the management API.",
        services=METRICS,
        labels={"queue": _QUEUE},
    )
    DELIVERIES: Final = MetricSpec(
        name="webhook_deliveries",
        kind=Kind.GAUGE,
        help="Webhooks accepted in the last 24 hours, by status.",
        services=METRICS,
        labels={"status": tuple(status.value for status in Status)},
    )
    OLDEST_AGE: Final = MetricSpec(
        name="webhook_oldest_age_seconds",
        kind=Kind.GAUGE,
        help="Minimum age of the oldest unfinished webhook: pending, or waiting for its next "
        "attempt, but not in the database. 0 if there is none.",
        services=METRICS,
        labels={"status": (Status.PENDING.value, Status.FAILED.value)},
    )
    WAITING: Final = MetricSpec(
        name="webhook_waiting",
        kind=Kind.GAUGE,
        help="Webhooks that wait in the database, by reason. They are also pending or failed.",
        services=METRICS,
        labels={"reason": tuple(reason.value for reason in WaitReason)},
    )
    WAIT_OVERDUE: Final = MetricSpec(
        name="webhook_wait_overdue_seconds",
        kind=Kind.GAUGE,
        help="Seconds since the attempt of the oldest waiting webhook was due, by reason. 0 if "
        "none is due.",
        services=METRICS,
        labels={"reason": tuple(reason.value for reason in WaitReason)},
    )
    LEDGER_ACCEPTED: Final = MetricSpec(
        name="webhook_ledger_accepted",
        kind=Kind.GAUGE,
        help="Webhooks accepted by all gateway instances of the last 48 hours, by their own "
        "counts.",
        services=METRICS,
    )
    LEDGER_DEFICIT: Final = MetricSpec(
        name="webhook_ledger_deficit",
        kind=Kind.GAUGE,
        help="Webhooks among them that have no row in the log. If this stays above 0, they "
        "are lost.",
        services=METRICS,
    )
    PARTITIONS_AHEAD: Final = MetricSpec(
        name="webhook_partitions_ahead",
        kind=Kind.GAUGE,
        help="Daily partitions created ahead, up to the first gap; -1 if today has none.",
        services=METRICS,
    )
    EXTRA_PARTITIONS: Final = MetricSpec(
        name="webhook_extra_partitions",
        kind=Kind.GAUGE,
        help="Daily partitions that were created because a webhook needed them; at most 100.",
        services=METRICS,
    )
    RETRIES: Final = MetricSpec(
        name="webhook_manual_retries_total",
        kind=Kind.COUNTER,
        help="Manual retries, by whether the broker has confirmed them.",
        services=METRICS,
        labels={"outcome": ("published", "queued", "swept")},
    )
    RPC_CALLS: Final = MetricSpec(
        name="rpc_server_calls_total",
        kind=Kind.COUNTER,
        help="Finished calls, by status code.",
        services=METRICS,
        labels={"method": _METHOD, "transport": _TRANSPORT, "code": GRPC_CODES},
    )
    RPC_SECONDS: Final = MetricSpec(
        name="rpc_server_call_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a call to its response, without streams.",
        services=METRICS,
        labels={"method": _METHOD, "transport": _TRANSPORT},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    SLACK_MESSAGES: Final = MetricSpec(
        name="ringback_slack_messages_total",
        kind=Kind.COUNTER,
        help="Messages to Slack: sent, not sent yet (rate_limited, failed), or dropped (all "
        "others).",
        services=METRICS,
        labels={
            "outcome": ("sent", "rate_limited", "failed", "refused", "expired", "no_room"),
        },
    )


class MetricsServiceLogEvent:
    METRICS_READY: Final = LogEventSpec(
        "metrics.ready",
        "The metrics service accepts calls.",
        services=METRICS,
        fields=("grpc_port", "rest_port"),
    )
    METRICS_STOPPING: Final = LogEventSpec(
        "metrics.stopping", "The metrics service received a stop signal.", services=METRICS
    )
    METRICS_STOPPED: Final = LogEventSpec(
        "metrics.stopped", "The metrics service has stopped.", services=METRICS
    )
    RPC_FINISHED: Final = LogEventSpec(
        "rpc.finished",
        "A call by gRPC, REST or a page of the console ended.",
        services=METRICS,
        fields=(
            "method",
            "transport",
            "code",
            "reason",
            "cause",
            "duration_ms",
            "messages",
            "role",
            "org_id",
            "subject",
            "peer",
            "trace_id",
            "span_id",
        ),
    )
    RPC_FAILED: Final = LogEventSpec(
        "rpc.failed",
        "A call failed because of a bug; `exception` has the traceback.",
        services=METRICS,
        fields=("method",),
    )
    PAGE_FAILED: Final = LogEventSpec(
        "page.failed",
        "A page of the console failed because of a bug; `exception` has the traceback.",
        services=METRICS,
        fields=("path",),
    )
    RETRY_RUN_INTERRUPTED: Final = LogEventSpec(
        "retry_run.interrupted",
        "A retry run could not be continued. It is tried again after 1, 2, 4 ... 60 s; one line "
        "per run and reason.",
        services=METRICS,
        fields=("run", "reason", "cause"),
    )
    RETRY_RUNS_NOT_LEASED: Final = LogEventSpec(
        "retry_runs.not_leased",
        "Retry runs cannot be queried, so none is continued; one line per outage.",
        services=METRICS,
        fields=("reason", "cause"),
    )
    RETRY_RUN_FAILED: Final = LogEventSpec(
        "retry_run.failed",
        "A retry run ended because of a bug; `exception` has the traceback.",
        services=METRICS,
        fields=("run",),
    )
    RETRIES_SWEPT: Final = LogEventSpec(
        "retries.swept",
        "Recorded retries that had not been published were published.",
        services=METRICS,
        fields=("count",),
    )
    RETRIES_NOT_SWEPT: Final = LogEventSpec(
        "retries.not_swept",
        "Unpublished retries cannot be queried; one line per outage.",
        services=METRICS,
        fields=("reason", "cause"),
    )
    RETRIES_NOT_PRUNED: Final = LogEventSpec(
        "retries.not_pruned",
        "Old retries could not be deleted; the service tries again.",
        services=METRICS,
        fields=("reason",),
    )
    RETRY_NOT_CONFIRMED: Final = LogEventSpec(
        "retry.not_confirmed",
        "A retry was recorded, but the broker did not confirm it; it is published again later.",
        services=METRICS,
        fields=("job_id", "reason"),
    )
    RETRY_NOT_MARKED: Final = LogEventSpec(
        "retry.not_marked",
        "A retry was published, but not marked as published; it may be published once more.",
        services=METRICS,
        fields=("job_id", "reason"),
    )
    STATS_FOLDING_FAILED: Final = LogEventSpec(
        "stats_folding.failed",
        "Statistics could not be aggregated; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    QUEUE_HEALTH_LOG_NOT_READ: Final = LogEventSpec(
        "queue_health.log_not_read",
        "Dead letters could not be counted in the log; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    JWKS_REJECTED: Final = LogEventSpec(
        "jwks.rejected",
        "The key file is unusable; the previous keys stay in use.",
        services=METRICS,
        fields=("reason",),
    )
    JWKS_RELOADED: Final = LogEventSpec(
        "jwks.reloaded",
        "The key file has changed and was reloaded.",
        services=METRICS,
        fields=("keys",),
    )
    CONSOLE_SIGNED_IN: Final = LogEventSpec(
        "console.signed_in",
        "Someone signed in to the console, by a `method`: `code` or `oidc`.",
        services=METRICS,
        fields=("actor", "role", "method"),
    )
    CONSOLE_SIGN_IN_REFUSED: Final = LogEventSpec(
        "console.sign_in_refused",
        "Someone could not sign in to the console.",
        services=METRICS,
        fields=("method", "reason"),
    )
    MANAGEMENT_API_UNAVAILABLE: Final = LogEventSpec(
        "management_api.unavailable",
        "The broker's management API does not answer; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
    SLACK_SENT: Final = LogEventSpec(
        "slack.sent",
        "Slack accepted a message; `kind` is `dead_letters`, `quiet` or `stopped_forwards`.",
        services=METRICS,
        fields=("kind", "groups", "dead_letters"),
    )
    SLACK_NOT_SENT: Final = LogEventSpec(
        "slack.not_sent",
        "Slack did not accept a message; it is sent again after the pause.",
        services=METRICS,
        fields=("reason", "failures", "pause_s"),
    )
    SLACK_DROPPED: Final = LogEventSpec(
        "slack.dropped",
        "A message was dropped because Slack rejected it or could not be reached for too long.",
        services=METRICS,
        fields=("reason", "groups", "dead_letters"),
    )
    SLACK_DATABASE_UNAVAILABLE: Final = LogEventSpec(
        "slack.database_unavailable",
        "What to send to Slack cannot be read; one line per outage.",
        services=METRICS,
        fields=("reason",),
    )
