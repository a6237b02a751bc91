"""The log lines of the processor."""

from typing import Final

from ringback.contract.telemetry.log_event_spec import LogEventSpec
from ringback.contract.telemetry.service_name import Service

PROCESSOR: Final = (Service.PROCESSOR,)


class _LifeLogEvent:
    PROCESSOR_READY: Final = LogEventSpec(
        "processor.ready",
        "The processor takes webhooks from now on.",
        services=PROCESSOR,
        fields=("prefetch", "schedule"),
    )
    PROCESSOR_STOPPING: Final = LogEventSpec(
        "processor.stopping",
        "The processor was told to stop and finishes what is in flight.",
        services=PROCESSOR,
    )
    PROCESSOR_WORK_ABANDONED: Final = LogEventSpec(
        "processor.work_abandoned",
        "Work in flight did not end in time; the broker gives it to another.",
        services=PROCESSOR,
        fields=("in_flight",),
    )
    PROCESSOR_STOPPED: Final = LogEventSpec(
        "processor.stopped", "Nothing is in flight any more.", services=PROCESSOR
    )
    PROCESSING_PAUSED: Final = LogEventSpec(
        "processing.paused",
        "An operator paused processing.",
        services=PROCESSOR,
        fields=("changed_by", "reason"),
    )
    PROCESSING_RESUMED: Final = LogEventSpec(
        "processing.resumed",
        "An operator let processing go on.",
        services=PROCESSOR,
        fields=("changed_by", "reason"),
    )
    PAUSE_UNKNOWN: Final = LogEventSpec(
        "pause.unknown",
        "Whether processing is paused cannot be read.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    DATABASE_UNAVAILABLE: Final = LogEventSpec(
        "database.unavailable",
        "The database does not answer; no webhooks are taken.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    DATABASE_RECOVERED: Final = LogEventSpec(
        "database.recovered",
        "The database answers again.",
        services=PROCESSOR,
        fields=("away_s",),
    )
    DATABASE_SETUP_INCOMPLETE: Final = LogEventSpec(
        "database.setup_incomplete",
        "The database lacks a table, a function or a right.",
        services=PROCESSOR,
        fields=("missing", "remedy"),
    )
    CONSUMER_LOST: Final = LogEventSpec(
        "consumer.lost",
        "A consumer could not be begun; it is tried again.",
        services=PROCESSOR,
        fields=("queue", "reason"),
    )
    CONSUMER_MISSING: Final = LogEventSpec(
        "consumer.missing",
        "The broker does not know a consumer of ours; the link is made anew.",
        services=PROCESSOR,
    )
    CONSUMER_UNKNOWN: Final = LogEventSpec(
        "consumer.unknown",
        "The broker does not say whether it knows our consumers; the link is made anew.",
        services=PROCESSOR,
        fields=("reason",),
    )
    HEARTBEAT_FAILED: Final = LogEventSpec(
        "heartbeat.failed",
        "The processor's own row could not be written; one line per outage.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    HOUSEKEEPING_FAILED: Final = LogEventSpec(
        "housekeeping.failed",
        "Days of the log could not be made or cleaned; it is tried again.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )


class _WorkLogEvent:
    ATTEMPT_FINISHED: Final = LogEventSpec(
        "attempt.finished",
        "One attempt ended and is written down.",
        services=PROCESSOR,
        fields=(
            "job_id",
            "org_id",
            "event_type",
            "call_id",
            "outcome",
            "attempts",
            "duration_ms",
            "age_ms",
            "repeated",
            "duplicate_of",
            "trace_id",
        ),
    )
    DEAD_LETTER_RECORDED: Final = LogEventSpec(
        "dead_letter.recorded",
        "One webhook is a dead letter from now on.",
        services=PROCESSOR,
        fields=(
            "job_id",
            "org_id",
            "event_type",
            "call_id",
            "attempts",
            "error_class",
            "error_message",
            "trace_id",
        ),
    )
    DEAD_LETTER_NOT_RECORDED: Final = LogEventSpec(
        "dead_letter.not_recorded",
        "A dead letter could not be written down for a bug; it stays in its queue.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    MESSAGE_QUARANTINED: Final = LogEventSpec(
        "message.quarantined",
        "A message that may be what kills the process will be run alone.",
        services=PROCESSOR,
        fields=("job_id", "deliveries_before"),
    )
    MESSAGE_HANDLER_STUCK: Final = LogEventSpec(
        "message.handler_stuck",
        "A quarantined message's handler ignores its cancellation; its message is not answered.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    HANDLER_IGNORES_CANCELLATION: Final = LogEventSpec(
        "handler.ignores_cancellation",
        "A handler ran out of time and still runs.",
        services=PROCESSOR,
        fields=("job_id", "event_type"),
    )
    MESSAGE_UNDELIVERABLE: Final = LogEventSpec(
        "message.undeliverable",
        "A message is no webhook of ours and goes to the dead letters.",
        services=PROCESSOR,
        fields=("job_id", "reason"),
    )
    MESSAGE_NOT_PROCESSED: Final = LogEventSpec(
        "message.not_processed",
        "A message met a bug of ours; `exception` says which. It comes again later.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    MESSAGE_REQUEUED: Final = LogEventSpec(
        "message.requeued",
        "A message could not be attempted although the database is there. It comes again later; "
        "after ten such returns it runs alone, and then it is a dead letter.",
        services=PROCESSOR,
        fields=("job_id", "returns", "reason"),
    )
    MESSAGE_NOT_SETTLED: Final = LogEventSpec(
        "message.not_settled",
        "The link went away before the answer; the broker brings the message again.",
        services=PROCESSOR,
        fields=("reason",),
    )
    MESSAGE_PUBLISH_RETRIED: Final = LogEventSpec(
        "message.publish_retried",
        "A message could not be passed on yet; it is tried again.",
        services=PROCESSOR,
        fields=("reason",),
    )


class ProcessorLogEvent(_LifeLogEvent, _WorkLogEvent):
    """About the process itself, and its webhooks in flight."""
