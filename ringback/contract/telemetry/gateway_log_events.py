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
