"""The log lines of the gateway."""

from typing import Final

from ringback.contract.telemetry.log_event_spec import LogEventSpec
from ringback.contract.telemetry.service_name import Service

GATEWAY: Final = (Service.GATEWAY,)


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
    WEBHOOK_ACCEPTED: Final = LogEventSpec(
        "webhook.accepted",
        "One webhook is on the broker's disk.",
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
            "trace_id",
        ),
    )
    WEBHOOK_REFUSED: Final = LogEventSpec(
        "webhook.refused",
        "One request was not accepted.",
        services=GATEWAY,
        fields=("reason", "status", "path", "auth_headers", "duration_ms"),
    )
    PENDING_ROWS_STUCK: Final = LogEventSpec(
        "pending_rows.stuck",
        "Pending rows cannot be written to the log; one line per outage.",
        services=GATEWAY,
        fields=("reason",),
    )
    PENDING_ROWS_WRITING_AGAIN: Final = LogEventSpec(
        "pending_rows.writing_again", "The outage of pending rows is over.", services=GATEWAY
    )
