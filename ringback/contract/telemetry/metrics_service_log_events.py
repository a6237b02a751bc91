"""The log lines of the metrics service."""

from typing import Final

from ringback.contract.telemetry.log_event_spec import LogEventSpec
from ringback.contract.telemetry.service_name import Service

METRICS: Final = (Service.METRICS,)


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
