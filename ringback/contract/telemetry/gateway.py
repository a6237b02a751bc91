"""The metrics and log lines of the gateway."""

from typing import Final

from ringback.contract.event import InvalidEvent
from ringback.contract.telemetry.spec import EVENT_TYPE_LABELS, GATEWAY, GATEWAY_AND_METRICS, Open

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
    ACCEPTED: Final = GATEWAY.counter(
        "webhook_total", "Accepted webhooks.", event_type=EVENT_TYPE_LABELS
    )
    BULK: Final = GATEWAY.counter(
        "webhook_bulk_total",
        "Accepted webhooks of orgs above their rate, which wait in `webhooks.bulk`.",
    )
    REJECTED: Final = GATEWAY.counter(
        "webhook_rejected_total",
        "Rejected requests.",
        endpoint=Open(
            "the endpoint that refused its sender or the type of the event, `other` beyond the "
            "first 100 of them; empty for any other reason"
        ),
        reason=REJECTION_REASONS,
    )
    TOLERATED: Final = GATEWAY.counter(
        "webhook_tolerated_total",
        "Deviations from the contract in webhooks that were accepted anyway.",
        deviation=("path", "content_type", "content_encoding", "body"),
    )
    PUBLISH_SECONDS: Final = GATEWAY.histogram(
        "webhook_publish_duration_seconds",
        "Seconds from a publish until the broker confirmed it, or it failed.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5),
        outcome=("confirmed", *NOT_CONFIRMED),
    )
    HTTP_SECONDS: Final = GATEWAY.histogram(
        "webhook_http_duration_seconds",
        "Seconds from the headers of a request to its response.",
        buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        status_class=("2xx", "4xx", "5xx"),
    )
    CONNECTIONS: Final = GATEWAY.gauge("webhook_connections", "Open connections of senders.")
    CONNECTIONS_CLOSED: Final = GATEWAY.counter(
        "webhook_connections_closed_total",
        "Connections closed before they sent a request: too slow, too large, or "
        "evicted for a newer connection.",
        reason=("slow", "large_head", "evicted"),
    )
    CLOCK_OFFSET: Final = GATEWAY.gauge(
        "webhook_clock_offset_seconds",
        "Seconds by which the gateway's clock is ahead of the database's; 0 while unknown.",
    )
    PENDING_ROWS: Final = GATEWAY.counter(
        "webhook_pending_rows_total",
        "Pending rows for the delivery log.",
        outcome=("written", "dropped"),
    )
    SPOOL_WRITES: Final = GATEWAY.counter(
        "webhook_spool_writes_total",
        "Webhooks that the broker did not confirm in time, by the result of writing "
        "them to the spool.",
        outcome=("spooled", *NOT_SPOOLED),
    )
    DRAINED: Final = GATEWAY.counter(
        "webhook_spool_drained_total",
        "Webhooks published from the spool and confirmed by the broker.",
    )
    SPOOL_MESSAGES: Final = GATEWAY.gauge("webhook_spool_messages", "Webhooks in the spool.")
    SPOOL_BYTES: Final = GATEWAY.gauge("webhook_spool_bytes", "Size of the webhooks in the spool.")
    SPOOL_OLDEST_AGE: Final = GATEWAY.gauge(
        "webhook_spool_oldest_age_seconds",
        "Age of the oldest webhook in the spool; 0 if the spool is empty.",
    )
    SPOOL_DAMAGED: Final = GATEWAY.gauge(
        "webhook_spool_damaged",
        "Damaged webhooks and files that the spool keeps until someone inspects them.",
        kind=("row", "file"),
    )
    SPOOL_USABLE: Final = GATEWAY.gauge(
        "webhook_spool_usable",
        "1 while the spool accepts webhooks; 0 while it is full, broken or not configured.",
    )
    BREAKER_OPEN: Final = GATEWAY.gauge(
        "ringback_broker_breaker_open",
        "1 while webhooks go directly to the spool because the broker was too slow.",
    )


class GatewayLogEvent:
    GATEWAY_STARTED: Final = GATEWAY.log(
        "gateway.started",
        "The gateway accepts webhooks.",
        fields="gateway_instance_id port endpoints",
    )
    KEYS_UNAVAILABLE: Final = GATEWAY_AND_METRICS.log(
        "keys.unavailable",
        "A key set (`jwks_url`, `RINGBACK_JWT_JWKS_URL`) cannot be fetched; one line per outage. "
        "Its last keys are trusted for an hour.",
        fields="url reason",
    )
    KEYS_RECOVERED: Final = GATEWAY_AND_METRICS.log(
        "keys.recovered", "A key set can be fetched again.", fields="url"
    )
    GATEWAY_STOPPING: Final = GATEWAY.log("gateway.stopping", "The gateway received a stop signal.")
    GATEWAY_FAILED: Final = GATEWAY.log(
        "gateway.failed", "An unexpected error; `exception` has the traceback."
    )
    CLOCK_OFF: Final = GATEWAY.log(
        "clock.off",
        "The clock is off by more than 10 s, so job ids contain the database's time.",
        fields="offset_s",
    )
    CLOCK_CORRECTED: Final = GATEWAY.log(
        "clock.corrected", "The clock agrees with the database again.", fields="offset_s"
    )
    ORG_OVER_RATE: Final = GATEWAY.log(
        "org.over_rate",
        "An org begins to send more than `RINGBACK_ORG_RATE_PER_S`. Its webhooks wait in "
        "`webhooks.bulk` until it has stayed below the rate for 30 seconds.",
        fields="org_id",
    )
    WEBHOOK_ACCEPTED: Final = GATEWAY.log(
        "webhook.accepted",
        "A webhook is stored on disk, by the broker or in the spool.",
        fields="job_id org_id endpoint_id event_type size_bytes duration_ms call_id dedup_key "
        "storage_tier trace_id span_id",
    )
    WEBHOOK_REJECTED: Final = GATEWAY.log(
        "webhook.rejected",
        "A request was rejected. If an endpoint refused its sender, `checks` say why each of its "
        "credentials was not proven; for a token, what is wrong with the client.",
        fields="reason status path endpoint_id checks auth_headers duration_ms",
    )
    WEBHOOK_TOLERATED: Final = GATEWAY.log(
        "webhook.tolerated",
        "`count` webhooks of an endpoint deviated from the contract and were accepted "
        "anyway; at most one line per minute and endpoint.",
        fields="endpoint_id deviations count",
    )
    PENDING_ROWS_STUCK: Final = GATEWAY.log(
        "pending_rows.stuck",
        "Pending rows cannot be written to the delivery log; one line per outage.",
        fields="reason",
    )
    PENDING_ROWS_RECOVERED: Final = GATEWAY.log(
        "pending_rows.recovered", "Pending rows can be written again."
    )
    SPOOL_DISABLED: Final = GATEWAY.log(
        "spool.disabled",
        "No spool is configured: webhooks are rejected while the broker is unavailable.",
    )
    SPOOL_OPENED: Final = GATEWAY.log(
        "spool.opened",
        "The spool is usable. It contains `waiting` webhooks from an earlier run.",
        fields="path waiting",
    )
    SPOOL_FILE_QUARANTINED: Final = GATEWAY.log(
        "spool.file_quarantined",
        "The spool's file is corrupt or has lost webhooks: about `lost`, or 0 if "
        "unknown. It was renamed and replaced by an empty file.",
        fields="path lost",
    )
    SPOOL_SALVAGED: Final = GATEWAY.log(
        "spool.salvaged",
        "`count` webhooks were recovered from a quarantined file into the spool; "
        "`unreadable` more are incomplete. The file is kept for inspection.",
        fields="path count unreadable",
    )
    SPOOL_FAILED: Final = GATEWAY.log(
        "spool.failed", "The spool's disk is unusable; one line per outage.", fields="reason"
    )
    SPOOL_FILLING: Final = GATEWAY.log(
        "spool.filling", "A webhook was written to the spool; one line per outage of the broker."
    )
    SPOOL_DRAINED: Final = GATEWAY.log(
        "spool.drained",
        "The spool is empty again; `count` webhooks were published from it.",
        fields="count",
    )
    SPOOL_ROW_QUARANTINED: Final = GATEWAY.log(
        "spool.row_quarantined",
        "A webhook in the spool is damaged and cannot be published. It is kept for "
        "inspection; `ringback spool list` shows it.",
        fields="sequence reason",
    )
