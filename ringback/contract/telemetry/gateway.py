"""The metrics and log lines of the gateway."""

from typing import Final

from ringback.contract.event import InvalidEvent
from ringback.contract.telemetry.spec import (
    EVENT_TYPE_LABELS,
    Kind,
    LogEventSpec,
    MetricSpec,
    Open,
    Service,
)

GATEWAY: Final = (Service.GATEWAY,)

NOT_CONFIRMED: Final = ("not_connected", "blocked", "timeout", "connection_lost", "refused")

NOT_SPOOLED: Final = ("spool_full", "spool_slow", "spool_broken")

SENDER_REFUSED: Final = (
    "endpoint_disabled",
    "keys_unavailable",
    "event_type_not_allowed",
    "no_message_id",
    "no_secret",
    "no_signature",
    "no_timestamp",
    "no_token",
    "stale_timestamp",
    "wrong_network",
    "wrong_scheme",
    "wrong_secret",
    "wrong_signature",
    "wrong_token",
)
"""Reasons of an endpoint that refuses a sender or its event."""

REJECTION_REASONS: Final = (
    "bad_http",
    "broken_body",
    "busy",
    "head_too_large",
    "head_too_slow",
    "not_found",
    "internal_error",
    "too_large",
    "too_slow",
    "wrong_client",
    "wrong_content_encoding",
    "wrong_content_type",
    "wrong_method",
    "wrong_token_request",
    *SENDER_REFUSED,
    *(why.name.lower() for why in InvalidEvent),
    *NOT_CONFIRMED,
    *NOT_SPOOLED,
)


class GatewayMetric:
    ACCEPTED: Final = MetricSpec(
        name="webhook_total",
        kind=Kind.COUNTER,
        help="Accepted webhooks.",
        services=GATEWAY,
        labels={"event_type": EVENT_TYPE_LABELS},
    )
    BULK: Final = MetricSpec(
        name="webhook_bulk_total",
        kind=Kind.COUNTER,
        help="Accepted webhooks of orgs above their rate, which wait in `webhooks.bulk`.",
        services=GATEWAY,
    )
    REJECTED: Final = MetricSpec(
        name="webhook_rejected_total",
        kind=Kind.COUNTER,
        help="Rejected requests.",
        services=GATEWAY,
        labels={
            "endpoint": Open(
                "the endpoint that refused its sender or the type of the event, `other` beyond the "
                "first 100 of them; empty for any other reason"
            ),
            "reason": REJECTION_REASONS,
        },
    )
    TOLERATED: Final = MetricSpec(
        name="webhook_tolerated_total",
        kind=Kind.COUNTER,
        help="Deviations from the contract in webhooks that were accepted anyway.",
        services=GATEWAY,
        labels={"deviation": ("path", "content_type", "content_encoding", "body")},
    )
    PUBLISH_SECONDS: Final = MetricSpec(
        name="webhook_publish_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from a publish until the broker confirmed it, or it failed.",
        services=GATEWAY,
        labels={"outcome": ("confirmed", *NOT_CONFIRMED)},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
    )
    HTTP_SECONDS: Final = MetricSpec(
        name="webhook_http_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the headers of a request to its response.",
        services=GATEWAY,
        labels={"status_class": ("2xx", "4xx", "5xx")},
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    CONNECTIONS: Final = MetricSpec(
        name="webhook_connections",
        kind=Kind.GAUGE,
        help="Open connections of senders.",
        services=GATEWAY,
    )
    CONNECTIONS_CLOSED: Final = MetricSpec(
        name="webhook_connections_closed_total",
        kind=Kind.COUNTER,
        help="Connections closed before they sent a request: too slow, too large, or "
        "evicted for a newer connection.",
        services=GATEWAY,
        labels={"reason": ("slow", "large_head", "evicted")},
    )
    CLOCK_OFFSET: Final = MetricSpec(
        name="webhook_clock_offset_seconds",
        kind=Kind.GAUGE,
        help="Seconds by which the gateway's clock is ahead of the database's; 0 while unknown.",
        services=GATEWAY,
    )
    PENDING_ROWS: Final = MetricSpec(
        name="webhook_pending_rows_total",
        kind=Kind.COUNTER,
        help="Pending rows for the delivery log.",
        services=GATEWAY,
        labels={"outcome": ("written", "dropped")},
    )
    SPOOL_WRITES: Final = MetricSpec(
        name="webhook_spool_writes_total",
        kind=Kind.COUNTER,
        help="Webhooks that the broker did not confirm in time, by the result of writing "
        "them to the spool.",
        services=GATEWAY,
        labels={"outcome": ("spooled", *NOT_SPOOLED)},
    )
    DRAINED: Final = MetricSpec(
        name="webhook_spool_drained_total",
        kind=Kind.COUNTER,
        help="Webhooks published from the spool and confirmed by the broker.",
        services=GATEWAY,
    )
    SPOOL_MESSAGES: Final = MetricSpec(
        name="webhook_spool_messages",
        kind=Kind.GAUGE,
        help="Webhooks in the spool.",
        services=GATEWAY,
    )
    SPOOL_BYTES: Final = MetricSpec(
        name="webhook_spool_bytes",
        kind=Kind.GAUGE,
        help="Size of the webhooks in the spool.",
        services=GATEWAY,
    )
    SPOOL_OLDEST_AGE: Final = MetricSpec(
        name="webhook_spool_oldest_age_seconds",
        kind=Kind.GAUGE,
        help="Age of the oldest webhook in the spool; 0 if the spool is empty.",
        services=GATEWAY,
    )
    SPOOL_DAMAGED: Final = MetricSpec(
        name="webhook_spool_damaged",
        kind=Kind.GAUGE,
        help="Damaged webhooks and files that the spool keeps until someone inspects them.",
        services=GATEWAY,
        labels={"kind": ("row", "file")},
    )
    SPOOL_USABLE: Final = MetricSpec(
        name="webhook_spool_usable",
        kind=Kind.GAUGE,
        help="1 while the spool accepts webhooks; 0 while it is full, broken or not configured.",
        services=GATEWAY,
    )
    BREAKER_OPEN: Final = MetricSpec(
        name="ringback_broker_breaker_open",
        kind=Kind.GAUGE,
        help="1 while webhooks go directly to the spool because the broker was too slow.",
        services=GATEWAY,
    )


class GatewayLogEvent:
    GATEWAY_STARTED: Final = LogEventSpec(
        "gateway.started",
        "The gateway accepts webhooks.",
        services=GATEWAY,
        fields=("gateway_instance_id", "port", "endpoints"),
    )
    KEYS_UNAVAILABLE: Final = LogEventSpec(
        "keys.unavailable",
        "A key set (`jwks_url`, `RINGBACK_JWT_JWKS_URL`) cannot be fetched; one line per outage. "
        "Its last keys are trusted for an hour.",
        services=(Service.GATEWAY, Service.METRICS),
        fields=("url", "reason"),
    )
    KEYS_RECOVERED: Final = LogEventSpec(
        "keys.recovered",
        "A key set can be fetched again.",
        services=(Service.GATEWAY, Service.METRICS),
        fields=("url",),
    )
    GATEWAY_STOPPING: Final = LogEventSpec(
        "gateway.stopping", "The gateway received a stop signal.", services=GATEWAY
    )
    GATEWAY_FAILED: Final = LogEventSpec(
        "gateway.failed",
        "An unexpected error; `exception` has the traceback.",
        services=GATEWAY,
    )
    CLOCK_OFF: Final = LogEventSpec(
        "clock.off",
        "The clock is off by more than 10 s, so job ids contain the database's time.",
        services=GATEWAY,
        fields=("offset_s",),
    )
    CLOCK_CORRECTED: Final = LogEventSpec(
        "clock.corrected",
        "The clock agrees with the database again.",
        services=GATEWAY,
        fields=("offset_s",),
    )
    ORG_OVER_RATE: Final = LogEventSpec(
        "org.over_rate",
        "An org begins to send more than `RINGBACK_ORG_RATE_PER_S`. Its webhooks wait in "
        "`webhooks.bulk` until it has stayed below the rate for 30 seconds.",
        services=GATEWAY,
        fields=("org_id",),
    )
    WEBHOOK_ACCEPTED: Final = LogEventSpec(
        "webhook.accepted",
        "A webhook is stored on disk, by the broker or in the spool.",
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
            "span_id",
        ),
    )
    WEBHOOK_REJECTED: Final = LogEventSpec(
        "webhook.rejected",
        "A request was rejected. If an endpoint refused its sender, `checks` say why each of its "
        "credentials was not proven; for a token, what is wrong with the client.",
        services=GATEWAY,
        fields=(
            "reason",
            "status",
            "path",
            "endpoint_id",
            "checks",
            "auth_headers",
            "duration_ms",
        ),
    )
    WEBHOOK_TOLERATED: Final = LogEventSpec(
        "webhook.tolerated",
        "`count` webhooks of an endpoint deviated from the contract and were accepted "
        "anyway; at most one line per minute and endpoint.",
        services=GATEWAY,
        fields=("endpoint_id", "deviations", "count"),
    )
    PENDING_ROWS_STUCK: Final = LogEventSpec(
        "pending_rows.stuck",
        "Pending rows cannot be written to the delivery log; one line per outage.",
        services=GATEWAY,
        fields=("reason",),
    )
    PENDING_ROWS_RECOVERED: Final = LogEventSpec(
        "pending_rows.recovered", "Pending rows can be written again.", services=GATEWAY
    )
    SPOOL_DISABLED: Final = LogEventSpec(
        "spool.disabled",
        "No spool is configured: webhooks are rejected while the broker is unavailable.",
        services=GATEWAY,
    )
    SPOOL_OPENED: Final = LogEventSpec(
        "spool.opened",
        "The spool is usable. It contains `waiting` webhooks from an earlier run.",
        services=GATEWAY,
        fields=("path", "waiting"),
    )
    SPOOL_FILE_QUARANTINED: Final = LogEventSpec(
        "spool.file_quarantined",
        "The spool's file is corrupt or has lost webhooks: about `lost`, or 0 if "
        "unknown. It was renamed and replaced by an empty file.",
        services=GATEWAY,
        fields=("path", "lost"),
    )
    SPOOL_SALVAGED: Final = LogEventSpec(
        "spool.salvaged",
        "`count` webhooks were recovered from a quarantined file into the spool; "
        "`unreadable` more are incomplete. The file is kept for inspection.",
        services=GATEWAY,
        fields=("path", "count", "unreadable"),
    )
    SPOOL_FAILED: Final = LogEventSpec(
        "spool.failed",
        "The spool's disk is unusable; one line per outage.",
        services=GATEWAY,
        fields=("reason",),
    )
    SPOOL_FILLING: Final = LogEventSpec(
        "spool.filling",
        "A webhook was written to the spool; one line per outage of the broker.",
        services=GATEWAY,
    )
    SPOOL_DRAINED: Final = LogEventSpec(
        "spool.drained",
        "The spool is empty again; `count` webhooks were published from it.",
        services=GATEWAY,
        fields=("count",),
    )
    SPOOL_ROW_QUARANTINED: Final = LogEventSpec(
        "spool.row_quarantined",
        "A webhook in the spool is damaged and cannot be published. It is kept for "
        "inspection; `ringback spool list` shows it.",
        services=GATEWAY,
        fields=("sequence", "reason"),
    )
