"""The metrics and log lines of the gateway."""

from typing import Final

from ringback.contract.event import InvalidEvent
from ringback.contract.telemetry.spec import (
    EVENT_TYPE_LABELS,
    Kind,
    LogEventSpec,
    MetricSpec,
    Service,
)

GATEWAY: Final = (Service.GATEWAY,)

NOT_CONFIRMED: Final = ("not_connected", "blocked", "timeout", "connection_lost", "refused")

NOT_SPOOLED: Final = ("spool_full", "spool_slow", "spool_broken")

REFUSAL_REASONS: Final = (
    "bad_http",
    "broken_body",
    "busy",
    "head_too_large",
    "head_too_slow",
    "no_secret",
    "not_found",
    "internal_error",
    "too_large",
    "too_slow",
    "wrong_content_encoding",
    "wrong_content_type",
    "wrong_method",
    "wrong_secret",
    *(why.name.lower() for why in InvalidEvent),
    *NOT_CONFIRMED,
    *NOT_SPOOLED,
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
        name="webhook_rejected_total",
        kind=Kind.COUNTER,
        help="Requests not accepted.",
        services=GATEWAY,
        labels={"reason": REFUSAL_REASONS},
    )
    TOLERATED: Final = MetricSpec(
        name="webhook_tolerated_total",
        kind=Kind.COUNTER,
        help="Deviations from the contract in webhooks that were accepted all the same.",
        services=GATEWAY,
        labels={"deviation": ("path", "content_type", "content_encoding", "body")},
    )
    PUBLISH_SECONDS: Final = MetricSpec(
        name="webhook_publish_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a publish to the broker's confirm, or to its failure.",
        services=GATEWAY,
        labels={"outcome": ("confirmed", *NOT_CONFIRMED)},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
    )
    HTTP_SECONDS: Final = MetricSpec(
        name="webhook_http_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the head of a request to its answer.",
        services=GATEWAY,
        labels={"status_class": ("2xx", "4xx", "5xx")},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    CONNECTIONS: Final = MetricSpec(
        name="webhook_connections",
        kind=Kind.GAUGE,
        help="Connections of senders that are open.",
        services=GATEWAY,
    )
    CONNECTIONS_CUT: Final = MetricSpec(
        name="webhook_connections_closed_total",
        kind=Kind.COUNTER,
        help="Connections closed before they brought a request: too slow, a head too large, or "
        "in favour of a newer one.",
        services=GATEWAY,
        labels={"reason": ("slow", "large_head", "evicted")},
    )
    CLOCK_OFFSET: Final = MetricSpec(
        name="webhook_clock_offset_seconds",
        kind=Kind.GAUGE,
        help="Seconds that the gateway's clock is ahead of the database's; 0 while not known.",
        services=GATEWAY,
    )
    PENDING_ROWS: Final = MetricSpec(
        name="webhook_pending_rows_total",
        kind=Kind.COUNTER,
        help="Pending rows for the log.",
        services=GATEWAY,
        labels={"outcome": ("written", "dropped")},
    )
    SPOOLINGS: Final = MetricSpec(
        name="webhook_spool_writes_total",
        kind=Kind.COUNTER,
        help="Webhooks that the broker did not confirm in time, by what the spool made of them.",
        services=GATEWAY,
        labels={"outcome": ("spooled", *NOT_SPOOLED)},
    )
    DRAINED: Final = MetricSpec(
        name="webhook_spool_drained_total",
        kind=Kind.COUNTER,
        help="Spooled webhooks that the broker has confirmed since.",
        services=GATEWAY,
    )
    SPOOL_MESSAGES: Final = MetricSpec(
        name="webhook_spool_messages",
        kind=Kind.GAUGE,
        help="Webhooks that wait in the spool.",
        services=GATEWAY,
    )
    SPOOL_BYTES: Final = MetricSpec(
        name="webhook_spool_bytes",
        kind=Kind.GAUGE,
        help="Bytes that the webhooks in the spool take.",
        services=GATEWAY,
    )
    SPOOL_OLDEST_AGE: Final = MetricSpec(
        name="webhook_spool_oldest_age_seconds",
        kind=Kind.GAUGE,
        help="Seconds that the oldest webhook has waited in the spool; 0 while it is empty.",
        services=GATEWAY,
    )
    SPOOL_DAMAGED: Final = MetricSpec(
        name="webhook_spool_damaged",
        kind=Kind.GAUGE,
        help="What the spool keeps for a person because it is damaged: webhooks, and files that "
        "were replaced.",
        services=GATEWAY,
        labels={"kind": ("row", "file")},
    )
    SPOOL_USABLE: Final = MetricSpec(
        name="webhook_spool_usable",
        kind=Kind.GAUGE,
        help="1 while the spool has room; 0 while it is full, broken, or there is none.",
        services=GATEWAY,
    )
    BREAKER_OPEN: Final = MetricSpec(
        name="ringback_broker_breaker_open",
        kind=Kind.GAUGE,
        help="1 while webhooks go to the spool without asking the broker, which was too slow.",
        services=GATEWAY,
    )


class GatewayLogEvent:
    GATEWAY_STARTED: Final = LogEventSpec(
        "gateway.started",
        "The gateway takes webhooks from now on.",
        services=GATEWAY,
        fields=("life", "port", "endpoints"),
    )
    GATEWAY_STOPPING: Final = LogEventSpec(
        "gateway.stopping", "The gateway was told to stop.", services=GATEWAY
    )
    GATEWAY_FAILED: Final = LogEventSpec(
        "gateway.failed",
        "Something happened that nobody foresaw; `exception` says what.",
        services=GATEWAY,
    )
    CLOCK_OFF: Final = LogEventSpec(
        "clock.off",
        "The clock is off by more than 10 s; job ids carry the time of the database.",
        services=GATEWAY,
        fields=("offset_s",),
    )
    CLOCK_CORRECTED: Final = LogEventSpec(
        "clock.corrected",
        "The clock agrees with the database's again.",
        services=GATEWAY,
        fields=("offset_s",),
    )
    WEBHOOK_ACCEPTED: Final = LogEventSpec(
        "webhook.accepted",
        "One webhook is on a disk: the broker's, or that of the spool.",
        services=GATEWAY,
        fields=(
            "job_id",
            "org_id",
            "endpoint_id",
            "event_type",
            "size_bytes",
            "duration_ms",
            "call_id",
            "dedup_key",
            "storage_tier",
            "trace_id",
        ),
    )
    WEBHOOK_REJECTED: Final = LogEventSpec(
        "webhook.rejected",
        "One request was not accepted.",
        services=GATEWAY,
        fields=("reason", "status", "path", "auth_headers", "duration_ms"),
    )
    WEBHOOK_TOLERATED: Final = LogEventSpec(
        "webhook.tolerated",
        "`count` webhooks of an endpoint deviated from the contract and were accepted all the "
        "same; at most one line a minute and endpoint.",
        services=GATEWAY,
        fields=("endpoint_id", "deviations", "count"),
    )
    PENDING_ROWS_STUCK: Final = LogEventSpec(
        "pending_rows.stuck",
        "Pending rows cannot be written to the log; one line per outage.",
        services=GATEWAY,
        fields=("reason",),
    )
    PENDING_ROWS_RECOVERED: Final = LogEventSpec(
        "pending_rows.recovered", "The outage of pending rows is over.", services=GATEWAY
    )
    SPOOL_DISABLED: Final = LogEventSpec(
        "spool.disabled",
        "There is no spool: webhooks are refused while the broker is away.",
        services=GATEWAY,
    )
    SPOOL_OPENED: Final = LogEventSpec(
        "spool.opened",
        "The spool can be used. `waiting` webhooks were left in it by an earlier life.",
        services=GATEWAY,
        fields=("path", "waiting"),
    )
    SPOOL_FILE_QUARANTINED: Final = LogEventSpec(
        "spool.file_quarantined",
        "The spool's file is corrupt, or lacks webhooks that were in it: about `lost`, 0 where "
        "that is not known. It is kept under another name, and an empty file takes its place.",
        services=GATEWAY,
        fields=("path", "lost"),
    )
    SPOOL_SALVAGED: Final = LogEventSpec(
        "spool.salvaged",
        "What could be read of a file that was set aside is in the spool again: `count` webhooks. "
        "Something was found of `unreadable` more. The file is kept for a person to look at.",
        services=GATEWAY,
        fields=("path", "count", "unreadable"),
    )
    SPOOL_FAILED: Final = LogEventSpec(
        "spool.failed",
        "The spool's disk cannot be used; one line per outage.",
        services=GATEWAY,
        fields=("reason",),
    )
    SPOOL_FILLING: Final = LogEventSpec(
        "spool.filling",
        "A webhook went to the spool; one line per outage of the broker.",
        services=GATEWAY,
    )
    SPOOL_DRAINED: Final = LogEventSpec(
        "spool.drained",
        "The spool is empty again. `count` webhooks of it were published.",
        services=GATEWAY,
        fields=("count",),
    )
    SPOOL_ROW_QUARANTINED: Final = LogEventSpec(
        "spool.row_quarantined",
        "A webhook in the spool is damaged and cannot be published. It is kept for a person; "
        "`ringback spool list` shows it.",
        services=GATEWAY,
        fields=("place", "reason"),
    )
