"""The metrics and log lines of several services, and the fields of all log lines."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ringback.contract.telemetry.spec import EVERY_SERVICE, Kind, LogEventSpec, MetricSpec, Open


class SharedMetric:
    BROKER_LINK_UP: Final = MetricSpec(
        name="ringback_broker_connected",
        kind=Kind.GAUGE,
        help="1 while the broker is connected and takes what the service publishes; else 0. The "
        "metrics service asks for the first alone.",
        services=EVERY_SERVICE,
    )
    POOL_CONNECTIONS: Final = MetricSpec(
        name="ringback_database_pool_connections",
        kind=Kind.GAUGE,
        help="Open connections to the database.",
        services=EVERY_SERVICE,
        labels={"state": ("idle", "used")},
    )
    POOL_MAX_CONNECTIONS: Final = MetricSpec(
        name="ringback_database_pool_max_connections",
        kind=Kind.GAUGE,
        help="How many connections to the database may be open at most.",
        services=EVERY_SERVICE,
    )
    POOL_WAIT_SECONDS: Final = MetricSpec(
        name="ringback_database_pool_wait_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds until a connection was there, or was not to be had.",
        services=EVERY_SERVICE,
        buckets=(0.0001, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    BUILD_INFO: Final = MetricSpec(
        name="ringback_build_info",
        kind=Kind.GAUGE,
        help="Always 1; what runs, and in which version.",
        services=EVERY_SERVICE,
        labels={
            "version": Open("the version of Ringback"),
            "service": Open("the service itself"),
        },
    )


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


COMMON_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "event": "Which kind of line this is.",
        "level": "`info`, `warning` or `error`.",
        "ts": "When, in UTC.",
        "service": "Who writes.",
    }
)
"""The fields of every line."""

ERROR_FIELD: Final = "exception"
"""Lines about an unexpected error also have this field: the traceback."""

LOG_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "age_ms": "Milliseconds since the webhook was accepted.",
        "answers": "How many messages a call was answered with.",
        "attempts": "Which attempt of how many, as in `2/4`.",
        "auth_headers": "The names of the headers that carry credentials, never their values.",
        "away_s": "For how many seconds something was away.",
        "call_id": "The voice call that the event is about.",
        "cause": "What an error of the API came from.",
        "changed_by": "Who paused processing, or let it go on.",
        "code": "The gRPC status code by its name, also for REST.",
        "completed": "How many webhooks ended well.",
        "count": "How many.",
        "dead_letters": "How many dead letters a message tells of for the first time.",
        "dedup_key": "What tells a copy of an event from another event.",
        "deliveries_before": "How often the message had been delivered before.",
        "deviations": "What was wrong with webhooks that were accepted: `path`, `content_type`, "
        "`content_encoding`, `body`.",
        "detail": "The text of an error, cut off.",
        "duplicate_of": "The webhook that carried the same event first.",
        "duration_ms": "How many milliseconds it took.",
        "endpoint_id": "The endpoint that took the webhook.",
        "endpoints": "The endpoints that are served.",
        "error_class": "What kind of error the last attempt ended with.",
        "error_message": "What the last attempt said.",
        "event_type": "The type of the event, as it was sent.",
        "failed_again": "How many webhooks failed again.",
        "failures": "How many times in a row it has failed.",
        "groups": "How many groups of dead letters a message is about.",
        "grpc_port": "The port of gRPC.",
        "in_flight": "How many webhooks are in flight.",
        "job_id": "The webhook; in time order.",
        "keys": "The names of keys.",
        "kind": "What a message tells: `dead_letters`, or `quiet`.",
        "schedule": "The delays between attempts.",
        "life": "The id of this life of a gateway; each webhook holds it.",
        "link": "Which of the connections to the broker.",
        "lost": "About how many webhooks a file lacks.",
        "message": "A sentence for a person.",
        "method": "The full name of the method that was called.",
        "missing": "What the database lacks.",
        "offset_s": "Seconds that the clock is ahead of the database's.",
        "org_id": "The organisation that the webhook or the caller is of.",
        "outcome": "How the attempt ended.",
        "path": "The path that was asked for, without its query.",
        "pause_s": "For how many seconds nothing is sent.",
        "peer": "The other end of the connection.",
        "place": "The number of a webhook in the spool.",
        "port": "The port on which webhooks are taken.",
        "prefetch": "How many webhooks a processor has in flight at most.",
        "protocol": "`grpc` or `rest`.",
        "queue": "A queue of the broker.",
        "reason": "Why: a word, the name of an error, or what an operator said.",
        "remedy": "What to do about it.",
        "repeated": "Whether the outcome stood in the log already and was only repeated.",
        "returns": "How often the message was returned without an attempt.",
        "rest_port": "The port of REST.",
        "retried": "How many webhooks were retried.",
        "role": "What the caller may do.",
        "run": "The id of a bulk retry.",
        "size_bytes": "The size of the body.",
        "skipped": "How many webhooks were passed over.",
        "stack": "Files, lines and functions where the process is, the innermost first.",
        "state": "How a bulk retry ended.",
        "status": "The HTTP status of the answer.",
        "storage_tier": "Whose disk holds the webhook: `broker` or `spool`.",
        "subject": "Who the caller is, by the token.",
        "tasks": "The tasks that still run, each with its files, lines and functions.",
        "trace_id": "The trace of the webhook or of the call.",
        "unreadable": "Of how many webhooks something was found, but not all.",
        "variable": "The name of a variable of the environment.",
        "waiting": "How many webhooks wait in the spool.",
        "within_s": "How many seconds it had.",
    }
)
"""The meaning of the fields that some lines have."""
