"""The log lines that more than one service may write."""

from typing import Final

from ringback.contract.telemetry.log_event_spec import LogEventSpec
from ringback.contract.telemetry.service_name import EVERY_SERVICE


class SharedLogEvent:
    BROKER_CONNECTED: Final = LogEventSpec(
        "broker.connected", "A link to the broker is up.", services=EVERY_SERVICE, fields=("link",)
    )
    BROKER_UNAVAILABLE: Final = LogEventSpec(
        "broker.unavailable",
        "The broker cannot be reached; one line per outage.",
        services=EVERY_SERVICE,
        fields=("link", "reason"),
    )
    BROKER_LOST: Final = LogEventSpec(
        "broker.lost",
        "A link to the broker that was up is gone.",
        services=EVERY_SERVICE,
        fields=("link",),
    )
    BROKER_UNUSABLE: Final = LogEventSpec(
        "broker.unusable",
        "The broker answers, but is not as it must be.",
        services=EVERY_SERVICE,
        fields=("link", "reason"),
    )
    BROKER_SESSION_FAILED: Final = LogEventSpec(
        "broker.session_failed",
        "A link to the broker met a bug of ours; `exception` says which.",
        services=EVERY_SERVICE,
        fields=("link",),
    )
    SERVICE_FAILED: Final = LogEventSpec(
        "service.failed",
        "The process ends by an error that nobody foresaw; `exception` says which.",
        services=EVERY_SERVICE,
    )
    VARIABLE_IGNORED: Final = LogEventSpec(
        "variable.ignored",
        "A variable of OpenTelemetry is not usable and is ignored; the service works without it.",
        services=EVERY_SERVICE,
        fields=("variable", "reason"),
    )
    SERVICE_STOP_OVERDUE: Final = LogEventSpec(
        "service.stop_overdue",
        "The process was told to stop and does not end; it ends now, with status 1.",
        services=EVERY_SERVICE,
        fields=("within_s", "tasks", "stack"),
    )
    SPANS_NOT_EXPORTED: Final = LogEventSpec(
        "spans.not_exported",
        "Spans are lost from now on, and nothing else is; one line per outage.",
        services=EVERY_SERVICE,
        fields=("reason",),
    )
    SPANS_EXPORT_RECOVERED: Final = LogEventSpec(
        "spans.export_recovered",
        "Spans arrive again; `count` were lost meanwhile.",
        services=EVERY_SERVICE,
        fields=("count",),
    )
    SPANS_LOST: Final = LogEventSpec(
        "spans.lost",
        "The process ends with spans that went nowhere.",
        services=EVERY_SERVICE,
        fields=("count",),
    )
