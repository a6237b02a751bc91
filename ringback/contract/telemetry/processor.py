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
from ringback.contract.topology import BULK_QUEUE, REQUEUED_QUEUE

PROCESSOR: Final = (Service.PROCESSOR,)

FINISH_OUTCOMES: Final = tuple(
    one.value for one in (Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER)
)


class _WorkMetric:
    COMPLETED: Final = MetricSpec(
        name="webhook_completed_total",
        kind=Kind.COUNTER,
        help="Webhooks completed by a handler.",
        services=PROCESSOR,
        labels={"event_type": EVENT_TYPE_LABELS},
    )
    PROCESSING_SECONDS: Final = MetricSpec(
        name="webhook_processing_duration_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the delivery of a webhook to its commit, per attempt.",
        services=PROCESSOR,
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    FORWARDS_STOPPED: Final = MetricSpec(
        name="webhook_forwards_stopped_total",
        kind=Kind.COUNTER,
        help="Forwards that were stopped because each request had failed for five days.",
        services=PROCESSOR,
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
        help="Seconds spent in handlers, per attempt.",
        services=PROCESSOR,
        labels={"event_type": EVENT_TYPE_LABELS},
        # A handler without I/O takes some 60 us. There is a series for each bound and event type.
        buckets=(0.00005, 0.0001, 0.00025, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30),
    )
    FINISH_DELAY_SECONDS: Final = MetricSpec(
        name="webhook_finish_delay_seconds",
        kind=Kind.HISTOGRAM,
        help="Seconds from the acceptance of a webhook to its end, without manual retries.",
        services=PROCESSOR,
        labels={"outcome": FINISH_OUTCOMES},
        buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, thresholds.FINISH_SECONDS, 120, 300, 900, 3600),
    )
    ATTEMPTS: Final = MetricSpec(
        name="webhook_attempts_total",
        kind=Kind.COUNTER,
        help="Finished attempts, by number and outcome.",
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
        help="Webhooks whose event had already arrived.",
        services=PROCESSOR,
    )
    RETRIES_SCHEDULED: Final = MetricSpec(
        name="webhook_retries_scheduled_total",
        kind=Kind.COUNTER,
        help="Webhooks whose next attempt follows after a delay, in a retry queue or PostgreSQL.",
        services=PROCESSOR,
        labels={
            "attempt": Open(
                "the number of the attempt that failed, or `more` beyond the retry schedule"
            )
        },
    )
    DEAD_LETTERS: Final = MetricSpec(
        name="webhook_dead_letters_total",
        kind=Kind.COUNTER,
        help="Webhooks that became dead letters, by reason.",
        services=PROCESSOR,
        labels={"reason": tuple(reason.value for reason in DeadReason)},
    )
    REDELIVERED: Final = MetricSpec(
        name="webhook_redelivered_total",
        kind=Kind.COUNTER,
        help="Messages that the broker delivered again because a processor did not settle them.",
        services=PROCESSOR,
    )
    REQUEUED: Final = MetricSpec(
        name="webhook_requeued_total",
        kind=Kind.COUNTER,
        help="Messages requeued without an attempt although the database was available.",
        services=PROCESSOR,
    )
    PARKED: Final = MetricSpec(
        name="webhook_parked_total",
        kind=Kind.COUNTER,
        help="Messages that went to another queue, without an attempt, because their org or "
        "destination has its share of the handler slots and does not return them.",
        services=PROCESSOR,
        labels={"queue": (REQUEUED_QUEUE, BULK_QUEUE)},
    )
    QUARANTINED: Final = MetricSpec(
        name="webhook_quarantined_total",
        kind=Kind.COUNTER,
        help="Messages moved to the quarantine, where each runs alone.",
        services=PROCESSOR,
    )


class ProcessorMetric(_WorkMetric):
    IN_FLIGHT: Final = MetricSpec(
        name="webhook_in_flight",
        kind=Kind.GAUGE,
        help="Attempts that are running, wait for a slot, or wait for their commit.",
        services=PROCESSOR,
    )
    LAST_PROCESSED: Final = MetricSpec(
        name="webhook_last_processed_timestamp_seconds",
        kind=Kind.GAUGE,
        help="Unix time when the last attempt was recorded; 0 before the first.",
        services=PROCESSOR,
    )
    PROCESSING_PAUSED: Final = MetricSpec(
        name="webhook_processing_paused",
        kind=Kind.GAUGE,
        help="1 while this processor is paused, otherwise 0.",
        services=PROCESSOR,
    )


class _ProcessLogEvent:
    PROCESSOR_READY: Final = LogEventSpec(
        "processor.ready",
        "The processor consumes webhooks.",
        services=PROCESSOR,
        fields=("prefetch", "schedule"),
    )
    PROCESSOR_STOPPING: Final = LogEventSpec(
        "processor.stopping",
        "The processor received a stop signal and finishes the webhooks in flight.",
        services=PROCESSOR,
    )
    PROCESSOR_WORK_ABANDONED: Final = LogEventSpec(
        "processor.work_abandoned",
        "Webhooks in flight did not finish in time; the broker delivers them to another processor.",
        services=PROCESSOR,
        fields=("in_flight",),
    )
    PROCESSOR_STOPPED: Final = LogEventSpec(
        "processor.stopped", "The processor has stopped.", services=PROCESSOR
    )
    PROCESSING_PAUSED: Final = LogEventSpec(
        "processing.paused",
        "An operator paused processing.",
        services=PROCESSOR,
        fields=("changed_by", "reason"),
    )
    PROCESSING_RESUMED: Final = LogEventSpec(
        "processing.resumed",
        "An operator resumed processing.",
        services=PROCESSOR,
        fields=("changed_by", "reason"),
    )
    PAUSE_UNKNOWN: Final = LogEventSpec(
        "pause.unknown",
        "The pause state cannot be read.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    DATABASE_UNAVAILABLE: Final = LogEventSpec(
        "database.unavailable",
        "The database does not answer; the processor stops consuming.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    DATABASE_RECOVERED: Final = LogEventSpec(
        "database.recovered",
        "The database answers again.",
        services=PROCESSOR,
        fields=("outage_s",),
    )
    DATABASE_SETUP_INCOMPLETE: Final = LogEventSpec(
        "database.setup_incomplete",
        "A table, a function or a permission is missing in the database.",
        services=PROCESSOR,
        fields=("missing", "remedy"),
    )
    CONSUMER_LOST: Final = LogEventSpec(
        "consumer.lost",
        "A consumer could not be started; the processor tries again.",
        services=PROCESSOR,
        fields=("queue", "reason"),
    )
    CONSUMER_MISSING: Final = LogEventSpec(
        "consumer.missing",
        "The broker has lost one of this processor's consumers; the processor reconnects.",
        services=PROCESSOR,
    )
    CONSUMER_UNKNOWN: Final = LogEventSpec(
        "consumer.unknown",
        "The broker does not report whether it has this processor's consumers; the "
        "processor reconnects.",
        services=PROCESSOR,
        fields=("reason",),
    )
    HEARTBEAT_FAILED: Final = LogEventSpec(
        "heartbeat.failed",
        "The processor's heartbeat could not be written; one line per outage.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )
    HOUSEKEEPING_FAILED: Final = LogEventSpec(
        "housekeeping.failed",
        "Partitions could not be created or cleaned up; the processor tries again.",
        services=PROCESSOR,
        fields=("reason", "detail"),
    )


class _WorkLogEvent:
    ATTEMPT_FINISHED: Final = LogEventSpec(
        "attempt.finished",
        "An attempt ended and was recorded.",
        services=PROCESSOR,
        fields=(
            "job_id",
            "org_id",
            "event_type",
            "call_id",
            "outcome",
            "error_class",
            "attempts",
            "duration_ms",
            "age_ms",
            "repeated",
            "duplicate_of",
            "trace_id",
            "span_id",
        ),
    )
    DEAD_LETTER_RECORDED: Final = LogEventSpec(
        "dead_letter.recorded",
        "A webhook became a dead letter.",
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
            "span_id",
        ),
    )
    DEAD_LETTER_NOT_RECORDED: Final = LogEventSpec(
        "dead_letter.not_recorded",
        "A dead letter could not be recorded because of a bug; it stays in its queue.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    MESSAGE_QUARANTINED: Final = LogEventSpec(
        "message.quarantined",
        "A message that may crash the process was moved to the quarantine, to run alone.",
        services=PROCESSOR,
        fields=("job_id", "deliveries_before"),
    )
    MESSAGE_QUARANTINE_INTERRUPTED: Final = LogEventSpec(
        "message.quarantine_interrupted",
        "A stop interrupted a quarantined message, and its copy could not be published in "
        "time. The broker delivers it again, and the stop counts as a crash.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    HANDLER_IGNORES_CANCELLATION: Final = LogEventSpec(
        "handler.ignores_cancellation",
        "A handler exceeded its time limit and still runs.",
        services=PROCESSOR,
        fields=("job_id", "event_type"),
    )
    HANDLER_TYPE_UNKNOWN: Final = LogEventSpec(
        "handler.type_unknown",
        "A handler names an event type that Vapi does not document; it may be misspelled.",
        services=PROCESSOR,
        fields=("message",),
    )
    HANDLER_STOP_FAILED: Final = LogEventSpec(
        "handler.stop_failed",
        "A hook with `@on_stop` raised an error or did not end in time.",
        services=PROCESSOR,
        fields=("hook", "reason", "detail"),
    )
    FORWARD_FAILED: Final = LogEventSpec(
        "forward.failed",
        "The URL of a forward gave no answer; `failure` is the cause.",
        services=PROCESSOR,
        fields=("job_id", "endpoint_id", "forward", "failure"),
    )
    FORWARD_STOPPED: Final = LogEventSpec(
        "forward.stopped",
        "Each request to the URL of a forward has failed for five days. Its breaker is forced "
        "open, and its webhooks wait until a person sets it to automatic again.",
        services=PROCESSOR,
        fields=("destination", "failing_since"),
    )
    MESSAGE_UNDELIVERABLE: Final = LogEventSpec(
        "message.undeliverable",
        "A message is not a valid webhook and becomes a dead letter.",
        services=PROCESSOR,
        fields=("job_id", "reason"),
    )
    MESSAGE_NOT_PROCESSED: Final = LogEventSpec(
        "message.not_processed",
        "A bug prevented processing; `exception` has the traceback. The message is "
        "delivered again later.",
        services=PROCESSOR,
        fields=("job_id",),
    )
    MESSAGE_PARKED: Final = LogEventSpec(
        "message.parked",
        "A message waits in `queue` without an attempt, because its org or destination has its "
        "share of the handler slots and does not return them: for 1, 2 and 4 s in "
        "`webhooks.requeued`, then in `webhooks.bulk`.",
        services=PROCESSOR,
        fields=("job_id", "org_id", "queue"),
    )
    MESSAGE_REQUEUED: Final = LogEventSpec(
        "message.requeued",
        "A message could not be attempted although the database is available. It is "
        "delivered again later; after ten such requeues it runs alone, and then becomes "
        "a dead letter.",
        services=PROCESSOR,
        fields=("job_id", "requeues", "reason"),
    )
    MESSAGE_NOT_SETTLED: Final = LogEventSpec(
        "message.not_settled",
        "The connection was lost before the message was settled; the broker delivers it again.",
        services=PROCESSOR,
        fields=("reason",),
    )
    MESSAGE_PUBLISH_RETRIED: Final = LogEventSpec(
        "message.publish_retried",
        "A message could not be published; the processor tries again.",
        services=PROCESSOR,
        fields=("reason",),
    )


class ProcessorLogEvent(_ProcessLogEvent, _WorkLogEvent):
    """About the process itself, and its webhooks in flight."""
