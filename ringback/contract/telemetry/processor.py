"""The metrics and log lines of the processor."""

from typing import Final

from ringback.contract import thresholds
from ringback.contract.status import AttemptOutcome, DeadReason, Status
from ringback.contract.telemetry.spec import (
    EVENT_TYPE_LABELS,
    Kind,
    LogEventSpec,
    MetricSpec,
    Open,
    Service,
)

PROCESSOR: Final = (Service.PROCESSOR,)

FINISH_OUTCOMES: Final = tuple(
    one.value for one in (Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER)
)


class _WorkMetric:
    COMPLETED: Final = MetricSpec(
        name="webhook_completed_total",
        kind=Kind.COUNTER,
        help="Webhooks that a handler finished.",
        services=PROCESSOR,
        labels={"event_type": EVENT_TYPE_LABELS},
    )
    PROCESSING_SECONDS: Final = MetricSpec(
        name="webhook_processing_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from taking a webhook in flight to its commit, per attempt.",
        services=PROCESSOR,
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    FIRST_ATTEMPT_DELAY_SECONDS: Final = MetricSpec(
        name="webhook_first_attempt_delay_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the acceptance of a webhook to its first attempt.",
        services=PROCESSOR,
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
    )
    HANDLER_SECONDS: Final = MetricSpec(
        name="webhook_handler_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds in the handlers of a webhook, per attempt.",
        services=PROCESSOR,
        labels={"event_type": EVENT_TYPE_LABELS},
        buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    FINISH_DELAY_SECONDS: Final = MetricSpec(
        name="webhook_finish_delay_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the acceptance of a webhook to its end; retries by people are left out.",
        services=PROCESSOR,
        labels={"outcome": FINISH_OUTCOMES},
        buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, thresholds.FINISH_SECONDS, 120, 300, 900, 3600),
    )
    ATTEMPTS: Final = MetricSpec(
        name="webhook_attempts_total",
        kind=Kind.COUNTER,
        help="Attempts that ended, by their number and outcome.",
        services=PROCESSOR,
        labels={
            "attempt": Open("the number of the attempt, or `more` beyond the retry schedule"),
            "outcome": tuple(outcome.value for outcome in AttemptOutcome),
        },
    )
    REPEATED: Final = MetricSpec(
        name="webhook_repeated_total",
        kind=Kind.COUNTER,
        help="Redelivered messages whose recorded outcome was repeated.",
        services=PROCESSOR,
    )
    DUPLICATES: Final = MetricSpec(
        name="webhook_duplicates_total",
        kind=Kind.COUNTER,
        help="Webhooks whose event had arrived before.",
        services=PROCESSOR,
    )
    RETRIES_SCHEDULED: Final = MetricSpec(
        name="webhook_retries_scheduled_total",
        kind=Kind.COUNTER,
        help="Webhooks sent to a retry queue, to wait there for their next attempt.",
        services=PROCESSOR,
        labels={
            "attempt": Open(
                "the number of the retry queue, which is that of the attempt that failed"
            )
        },
    )
    DEAD_LETTERS: Final = MetricSpec(
        name="webhook_dead_letters_total",
        kind=Kind.COUNTER,
        help="Webhooks that became dead letters, by the reason.",
        services=PROCESSOR,
        labels={"reason": tuple(reason.value for reason in DeadReason)},
    )
    REDELIVERED: Final = MetricSpec(
        name="webhook_redelivered_total",
        kind=Kind.COUNTER,
        help="Messages that the broker brought again: a processor had left them unanswered.",
        services=PROCESSOR,
    )
    RETURNED: Final = MetricSpec(
        name="webhook_requeued_total",
        kind=Kind.COUNTER,
        help="Messages returned without an attempt, the database being there, to come again later.",
        services=PROCESSOR,
    )
    QUARANTINED: Final = MetricSpec(
        name="webhook_quarantined_total",
        kind=Kind.COUNTER,
        help="Messages set aside to be run alone.",
        services=PROCESSOR,
    )


class ProcessorMetric(_WorkMetric):
    IN_FLIGHT: Final = MetricSpec(
        name="webhook_in_flight",
        kind=Kind.GAUGE,
        help="Attempts being made.",
        services=PROCESSOR,
    )
    LAST_PROCESSED: Final = MetricSpec(
        name="webhook_last_processed_timestamp_seconds",
        kind=Kind.GAUGE,
        help="When an attempt was last written down, since 1970; 0 before the first.",
        services=PROCESSOR,
    )
    PROCESSING_PAUSED: Final = MetricSpec(
        name="webhook_processing_paused",
        kind=Kind.GAUGE,
        help="1 while this processor takes no webhooks for a pause, else 0.",
        services=PROCESSOR,
    )


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
