"""The metrics and log lines of several services, and the fields of all log lines."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ringback.contract.telemetry.spec import EVERY_SERVICE, GATEWAY_AND_PROCESSOR, Open


class SharedMetric:
    BROKER_CONNECTED: Final = EVERY_SERVICE.gauge(
        "ringback_broker_connected",
        "1 while the broker is connected and accepts what the service publishes, "
        "otherwise 0. The metrics service checks only the connection.",
    )
    POOL_CONNECTIONS: Final = EVERY_SERVICE.gauge(
        "ringback_database_pool_connections",
        "Open connections to the database.",
        state=("idle", "used"),
    )
    POOL_MAX_CONNECTIONS: Final = EVERY_SERVICE.gauge(
        "ringback_database_pool_max_connections",
        "Maximum number of open connections to the database.",
    )
    POOL_WAIT_SECONDS: Final = EVERY_SERVICE.histogram(
        "ringback_database_pool_wait_seconds",
        "Seconds spent waiting for a connection, also if there was none.",
        buckets=(0.0001, 0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    )
    BUILD_INFO: Final = EVERY_SERVICE.gauge(
        "ringback_build_info",
        "Always 1; the labels are the service and its version.",
        version=Open("the version of Ringback"),
        service=Open("the service itself"),
    )
    SPANS_LOST: Final = EVERY_SERVICE.counter(
        "ringback_spans_lost_total",
        "Spans that were not exported: too many waited, their export failed, or the process "
        "ended first.",
        reason=("queue_full", "export_failed", "shutdown"),
    )

    ENDPOINTS_FILE_VALID: Final = GATEWAY_AND_PROCESSOR.gauge(
        "webhook_endpoints_file_valid",
        "0 while the file of endpoints has a mistake, so that earlier endpoints stay in "
        "force; else 1.",
    )


class SharedLogEvent:
    ENDPOINTS_RELOADED: Final = GATEWAY_AND_PROCESSOR.log(
        "endpoints.reloaded",
        "The file of endpoints, or a file of a secret, has changed and is in force. `changed` "
        "lists up to 20 endpoints that are new, gone or different. `count` is the number of all; a "
        "processor counts forwards.",
        fields="count changed",
    )
    ENDPOINTS_REJECTED: Final = GATEWAY_AND_PROCESSOR.log(
        "endpoints.rejected",
        "The changed file of endpoints has `count` mistakes, of which `problems` lists up to 20. "
        "The endpoints in force stay as they are.",
        fields="count problems",
    )
    BROKER_CONNECTED: Final = EVERY_SERVICE.log(
        "broker.connected", "Connected to the broker.", fields="connection"
    )
    BROKER_UNAVAILABLE: Final = EVERY_SERVICE.log(
        "broker.unavailable",
        "The broker cannot be reached; one line per outage.",
        fields="connection reason",
    )
    BROKER_LOST: Final = EVERY_SERVICE.log(
        "broker.lost", "A connection to the broker was lost.", fields="connection"
    )
    BROKER_UNUSABLE: Final = EVERY_SERVICE.log(
        "broker.unusable", "The broker answers, but cannot be used.", fields="connection reason"
    )
    BROKER_SESSION_FAILED: Final = EVERY_SERVICE.log(
        "broker.session_failed",
        "A connection to the broker failed because of a bug; `exception` has the traceback.",
        fields="connection",
    )
    BACKGROUND_TASK_FAILED: Final = EVERY_SERVICE.log(
        "background_task.failed",
        "A part of the service ended because of a bug and is started again; `exception` has the "
        "traceback.",
        fields="task restart_after_s",
    )
    SERVICE_FAILED: Final = EVERY_SERVICE.log(
        "service.failed",
        "The process ends because of an unexpected error; `exception` has the traceback.",
    )
    VARIABLE_IGNORED: Final = EVERY_SERVICE.log(
        "variable.ignored",
        "An unusable OpenTelemetry variable is ignored; the service works without it.",
        fields="variable reason",
    )
    SERVICE_STOP_OVERDUE: Final = EVERY_SERVICE.log(
        "service.stop_overdue",
        "The process did not stop in time and exits with status 1.",
        fields="within_s tasks stack",
    )
    LOG_LINES_DROPPED: Final = EVERY_SERVICE.log(
        "log.lines_dropped",
        "`count` log lines were dropped, because nothing read stdout, or the disk was full.",
        fields="count",
    )
    SPANS_NOT_EXPORTED: Final = EVERY_SERVICE.log(
        "spans.not_exported",
        "Spans cannot be exported and are lost; one line per outage.",
        fields="reason",
    )
    SPANS_EXPORT_RECOVERED: Final = EVERY_SERVICE.log(
        "spans.export_recovered", "Spans are exported again; `count` were lost.", fields="count"
    )
    SPANS_LOST: Final = EVERY_SERVICE.log(
        "spans.lost", "The process ends with spans that were not exported.", fields="count"
    )


COMMON_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "event": "The kind of log line.",
        "level": "`info`, `warning` or `error`.",
        "ts": "The time in UTC.",
        "service": "The service that wrote the line.",
    }
)
"""The fields of every line."""

ERROR_FIELD: Final = "exception"
"""Lines about an unexpected error also have this field: the traceback."""

LOG_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "actor": "The person, as the token names them.",
        "age_ms": "Milliseconds since the webhook was accepted.",
        "messages": "Number of messages in the response.",
        "answer_bytes": "Size of an answer.",
        "backend_status": "The HTTP status of the backend's answer; null if it gave none.",
        "mistakes": "What Vapi will not understand in an answer: the mistake and its place.",
        "attempts": "Number of the attempt and the maximum, such as `2/4`.",
        "auth_headers": "The names of the headers that carry credentials, never their values.",
        "outage_s": "Duration of the outage in seconds.",
        "call_id": "The voice call of the event.",
        "cause": "The cause of an API error.",
        "changed": "Up to 20 endpoints that are new, gone or different.",
        "checks": "Why each credential of an endpoint was not proven.",
        "changed_by": "Who paused or resumed processing.",
        "code": "The name of the gRPC status code, also for REST.",
        "count": "How many there are.",
        "dead_letters": "Number of dead letters that a message reports for the first time.",
        "delay_ms": "How long the webhook waits; null until something else releases it.",
        "dedup_key": "The key by which duplicates of the event are recognised.",
        "deliveries_before": "How often the message was delivered before.",
        "deviations": "Deviations of accepted webhooks: `path`, `content_type`, "
        "`content_encoding`, `body`.",
        "detail": "The text of an error, truncated.",
        "duplicate_of": "The webhook that carried the same event first.",
        "duration_ms": "Duration in milliseconds.",
        "endpoint_id": "The endpoint that received the webhook.",
        "endpoints": "All endpoints of the gateway.",
        "error_class": "The error class of the last attempt, or of a function.",
        "error_message": "The error message of the last attempt.",
        "event_type": "The type of the event, as it was sent.",
        "event_types": "The types of questions that the functions answer.",
        "failing_since": "Since when there was no success.",
        "failure": "Why there was no answer.",
        "failures": "Number of consecutive failures.",
        "forward": "The forward, by its name in the endpoints file.",
        "groups": "Number of groups of dead letters in a message.",
        "grpc_port": "The gRPC port.",
        "in_flight": "Number of webhooks in flight.",
        "job_id": "The webhook's id. Ids sort by time.",
        "keys": "The key ids.",
        "kind": "The kind of message: `dead_letters` or `quiet`.",
        "schedule": "The delays between attempts.",
        "gateway_instance_id": "The id of this run of a gateway; each of its webhooks has it.",
        "connection": "The name of a connection to the broker.",
        "lost": "Approximate number of webhooks lost from a file.",
        "hook": "The module and name of a function with `@on_stop`.",
        "message": "A sentence for people.",
        "method": "The full name of the method that was called.",
        "missing": "What is missing in the database.",
        "offset_s": "Seconds by which the clock is ahead of the database's.",
        "org_id": "The organisation of the webhook or the caller.",
        "outcome": "How the attempt ended.",
        "path": "The requested path without its query, or a file.",
        "pause_s": "Seconds until the next message is sent.",
        "peer": "The address of the client.",
        "problems": "Up to 20 mistakes in the file of endpoints.",
        "process_id": "The id of the process.",
        "question_id": "The `webhook-id` of the question, the same for a repeated one.",
        "sequence": "The number of a webhook in the spool.",
        "port": "The port for webhooks.",
        "prefetch": "Maximum number of unfinished webhooks that the broker sends, per queue.",
        "transport": "`grpc`, `rest` or `console`.",
        "url": "The address of a key set.",
        "queue": "A queue of the broker.",
        "reason": "The reason: a word, the name of an error, or an operator's text.",
        "remedy": "How to fix it.",
        "repeated": "Whether the outcome was already in the log, so that no handler ran.",
        "requeues": "How often the message was requeued without an attempt.",
        "rest_port": "The REST port.",
        "role": "The caller's role.",
        "run": "The id of a bulk retry.",
        "size_bytes": "The size of the body.",
        "restart_after_s": "Seconds after which the process or the part is started again.",
        "stack": "Files, lines and functions where the process or the error is, innermost first.",
        "state": "How a bulk retry ended.",
        "status": "The HTTP status of the answer.",
        "storage_tier": "Where the webhook is stored: `broker` or `spool`.",
        "subject": "The subject of the caller's token.",
        "task": "The function of the part that ended.",
        "tasks": "The running tasks, each with its files, lines and functions.",
        "trace_id": "The trace of the webhook or of the call.",
        "span_id": "The span of the publish, the attempt, the dead letter or the call.",
        "unreadable": "Number of webhooks of which only a part was found.",
        "variable": "The name of an environment variable.",
        "waiting": "Number of webhooks in the spool.",
        "within_s": "The time limit in seconds.",
        "destination": "The destination, as its handler declares it; null for a wait without one.",
        "error": "The class of the last failure, or its status as in `HTTP 503`.",
        "retry_in_s": "Seconds until the next call is made as a probe.",
        "forced": "Whether a person keeps this state.",
        "states": "The forced states, by the names of destinations.",
    }
)
"""The meaning of the fields that some lines have."""
