"""The metrics and log lines of the metrics service."""

from typing import Final

from ringback.contract.status import Status, WaitReason
from ringback.contract.telemetry.spec import METRICS, Open

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
    DEAD_LETTER_QUEUE_SIZE: Final = METRICS.gauge(
        "webhook_dead_letter_queue_size",
        "Unresolved dead letters: those in the log, and those waiting to be recorded.",
    )
    QUEUE_MESSAGES: Final = METRICS.gauge(
        "webhook_queue_messages", "Messages ready in a queue.", queue=_QUEUE
    )
    QUEUE_CONSUMERS: Final = METRICS.gauge(
        "webhook_queue_consumers", "Consumers of a queue.", queue=_QUEUE
    )
    QUEUE_UNACKED: Final = METRICS.gauge(
        "webhook_queue_unacked",
        "Unacknowledged messages of a queue; needs the management API.",
        queue=_QUEUE,
    )
    DELIVERIES: Final = METRICS.gauge(
        "webhook_deliveries",
        "Webhooks accepted in the last 24 hours, by status.",
        status=tuple(status.value for status in Status),
    )
    OLDEST_AGE: Final = METRICS.gauge(
        "webhook_oldest_age_seconds",
        "Minimum age of the oldest unfinished webhook: pending, or waiting for its next "
        "attempt, but not in the database. 0 if there is none.",
        status=(Status.PENDING.value, Status.FAILED.value),
    )
    WAITING: Final = METRICS.gauge(
        "webhook_waiting",
        "Webhooks that wait in the database, by reason. They are also pending or failed.",
        reason=tuple(reason.value for reason in WaitReason),
    )
    WAIT_OVERDUE: Final = METRICS.gauge(
        "webhook_wait_overdue_seconds",
        "Seconds since the attempt of the oldest waiting webhook was due, by reason. 0 if "
        "none is due.",
        reason=tuple(reason.value for reason in WaitReason),
    )
    LEDGER_ACCEPTED: Final = METRICS.gauge(
        "webhook_ledger_accepted",
        "Webhooks accepted by all gateway instances of the last 48 hours, by their own counts.",
    )
    LEDGER_DEFICIT: Final = METRICS.gauge(
        "webhook_ledger_deficit",
        "Webhooks among them that have no row in the log. If this stays above 0, they are lost.",
    )
    PARTITIONS_AHEAD: Final = METRICS.gauge(
        "webhook_partitions_ahead",
        "Daily partitions created ahead, up to the first gap; -1 if today has none.",
    )
    EXTRA_PARTITIONS: Final = METRICS.gauge(
        "webhook_extra_partitions",
        "Daily partitions that were created because a webhook needed them; at most 100.",
    )
    RETRIES: Final = METRICS.counter(
        "webhook_manual_retries_total",
        "Manual retries, by whether the broker has confirmed them.",
        outcome=("published", "queued", "swept"),
    )
    RPC_CALLS: Final = METRICS.counter(
        "rpc_server_calls_total",
        "Finished calls, by status code.",
        method=_METHOD,
        transport=_TRANSPORT,
        code=GRPC_CODES,
    )
    RPC_SECONDS: Final = METRICS.histogram(
        "rpc_server_call_duration_seconds",
        "Seconds from a call to its response, without streams.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        method=_METHOD,
        transport=_TRANSPORT,
    )
    SLACK_MESSAGES: Final = METRICS.counter(
        "ringback_slack_messages_total",
        "Messages to Slack: sent, not sent yet (rate_limited, failed), or dropped (all others).",
        outcome=("sent", "rate_limited", "failed", "refused", "expired", "no_room"),
    )


class MetricsServiceLogEvent:
    METRICS_READY: Final = METRICS.log(
        "metrics.ready", "The metrics service accepts calls.", fields="grpc_port rest_port"
    )
    METRICS_STOPPING: Final = METRICS.log(
        "metrics.stopping", "The metrics service received a stop signal."
    )
    METRICS_STOPPED: Final = METRICS.log("metrics.stopped", "The metrics service has stopped.")
    RPC_FINISHED: Final = METRICS.log(
        "rpc.finished",
        "A call by gRPC, REST or a page of the console ended.",
        fields="method transport code reason cause duration_ms messages role org_id subject peer "
        "trace_id span_id",
    )
    RPC_FAILED: Final = METRICS.log(
        "rpc.failed",
        "A call failed because of a bug; `exception` has the traceback.",
        fields="method",
    )
    PAGE_FAILED: Final = METRICS.log(
        "page.failed",
        "A page of the console failed because of a bug; `exception` has the traceback.",
        fields="path",
    )
    RETRY_RUN_INTERRUPTED: Final = METRICS.log(
        "retry_run.interrupted",
        "A retry run could not be continued. It is tried again after 1, 2, 4 ... 60 s; one line "
        "per run and reason.",
        fields="run reason cause",
    )
    RETRY_RUNS_NOT_LEASED: Final = METRICS.log(
        "retry_runs.not_leased",
        "Retry runs cannot be queried, so none is continued; one line per outage.",
        fields="reason cause",
    )
    RETRY_RUN_FAILED: Final = METRICS.log(
        "retry_run.failed",
        "A retry run ended because of a bug; `exception` has the traceback.",
        fields="run",
    )
    RETRIES_SWEPT: Final = METRICS.log(
        "retries.swept",
        "Recorded retries that had not been published were published.",
        fields="count",
    )
    RETRIES_NOT_SWEPT: Final = METRICS.log(
        "retries.not_swept",
        "Unpublished retries cannot be queried; one line per outage.",
        fields="reason cause",
    )
    RETRIES_NOT_PRUNED: Final = METRICS.log(
        "retries.not_pruned",
        "Old retries could not be deleted; the service tries again.",
        fields="reason",
    )
    RETRY_NOT_CONFIRMED: Final = METRICS.log(
        "retry.not_confirmed",
        "A retry was recorded, but the broker did not confirm it; it is published again later.",
        fields="job_id reason",
    )
    RETRY_NOT_MARKED: Final = METRICS.log(
        "retry.not_marked",
        "A retry was published, but not marked as published; it may be published once more.",
        fields="job_id reason",
    )
    STATS_FOLDING_FAILED: Final = METRICS.log(
        "stats_folding.failed",
        "Statistics could not be aggregated; one line per outage.",
        fields="reason",
    )
    QUEUE_HEALTH_LOG_NOT_READ: Final = METRICS.log(
        "queue_health.log_not_read",
        "The log could not be read for the gauges or the queue health; one line per outage and "
        "reason.",
        fields="reason",
    )
    JWKS_REJECTED: Final = METRICS.log(
        "jwks.rejected", "The key file is unusable; the previous keys stay in use.", fields="reason"
    )
    JWKS_RELOADED: Final = METRICS.log(
        "jwks.reloaded", "The key file has changed and was reloaded.", fields="keys"
    )
    CONSOLE_SIGNED_IN: Final = METRICS.log(
        "console.signed_in",
        "Someone signed in to the console, by a `method`: `code` or `oidc`.",
        fields="actor role method",
    )
    CONSOLE_SIGN_IN_REFUSED: Final = METRICS.log(
        "console.sign_in_refused",
        "Someone could not sign in to the console.",
        fields="method reason",
    )
    MANAGEMENT_API_UNAVAILABLE: Final = METRICS.log(
        "management_api.unavailable",
        "The broker's management API does not answer; one line per outage.",
        fields="reason",
    )
    SLACK_SENT: Final = METRICS.log(
        "slack.sent",
        "Slack accepted a message; `kind` is `dead_letters`, `quiet` or `stopped_forwards`.",
        fields="kind groups dead_letters",
    )
    SLACK_NOT_SENT: Final = METRICS.log(
        "slack.not_sent",
        "Slack did not accept a message; it is sent again after the pause.",
        fields="reason failures pause_s",
    )
    SLACK_DROPPED: Final = METRICS.log(
        "slack.dropped",
        "A message was dropped because Slack rejected it or could not be reached for too long.",
        fields="reason groups dead_letters",
    )
    SLACK_DATABASE_UNAVAILABLE: Final = METRICS.log(
        "slack.database_unavailable",
        "What to send to Slack cannot be read; one line per outage.",
        fields="reason",
    )
