"""The metrics and log lines of the processor."""

from typing import Final

from ringback.contract import thresholds
from ringback.contract.status import AttemptOutcome, DeadReason, Status
from ringback.contract.telemetry.spec import EVENT_TYPE_LABELS, PROCESSOR, Open
from ringback.contract.topology import BULK_QUEUE, REQUEUED_QUEUE

FINISH_OUTCOMES: Final = tuple(
    one.value for one in (Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER)
)


class _WorkMetric:
    COMPLETED: Final = PROCESSOR.counter(
        "webhook_completed_total", "Webhooks completed by a handler.", event_type=EVENT_TYPE_LABELS
    )
    PROCESSING_SECONDS: Final = PROCESSOR.histogram(
        "webhook_processing_duration_seconds",
        "Seconds from the delivery of a webhook to its commit, per attempt.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    )
    FORWARDS_STOPPED: Final = PROCESSOR.counter(
        "webhook_forwards_stopped_total",
        "Forwards that were stopped because each request had failed for five days.",
    )
    FIRST_ATTEMPT_DELAY_SECONDS: Final = PROCESSOR.histogram(
        "webhook_first_attempt_delay_seconds",
        "Seconds from the acceptance of a webhook to its first attempt.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
    )
    HANDLER_SECONDS: Final = PROCESSOR.histogram(
        "webhook_handler_duration_seconds",
        "Seconds spent in handlers, per attempt.",
        # A handler without I/O takes some 60 us. There is a series for each bound and event type.
        buckets=(0.00005, 0.0001, 0.00025, 0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30),
        event_type=EVENT_TYPE_LABELS,
    )
    FINISH_DELAY_SECONDS: Final = PROCESSOR.histogram(
        "webhook_finish_delay_seconds",
        "Seconds from the acceptance of a webhook to its end, without manual retries.",
        buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 30, thresholds.FINISH_SECONDS, 120, 300, 900, 3600),
        outcome=FINISH_OUTCOMES,
    )
    ATTEMPTS: Final = PROCESSOR.counter(
        "webhook_attempts_total",
        "Finished attempts, by number and outcome.",
        attempt=Open("the number of the attempt, or `more` beyond the retry schedule"),
        outcome=tuple(outcome.value for outcome in AttemptOutcome),
    )
    REPEATED: Final = PROCESSOR.counter(
        "webhook_repeated_total", "Redelivered messages whose recorded outcome was repeated."
    )
    DUPLICATES: Final = PROCESSOR.counter(
        "webhook_duplicates_total", "Webhooks whose event had already arrived."
    )
    RETRIES_SCHEDULED: Final = PROCESSOR.counter(
        "webhook_retries_scheduled_total",
        "Webhooks whose next attempt follows after a delay, in a retry queue or PostgreSQL.",
        attempt=Open("the number of the attempt that failed, or `more` beyond the retry schedule"),
    )
    DEAD_LETTERS: Final = PROCESSOR.counter(
        "webhook_dead_letters_total",
        "Webhooks that became dead letters, by reason.",
        reason=tuple(reason.value for reason in DeadReason),
    )
    REDELIVERED: Final = PROCESSOR.counter(
        "webhook_redelivered_total",
        "Messages that the broker delivered again because a processor did not settle them.",
    )
    REQUEUED: Final = PROCESSOR.counter(
        "webhook_requeued_total",
        "Messages requeued without an attempt although the database was available.",
    )
    PARKED: Final = PROCESSOR.counter(
        "webhook_parked_total",
        "Messages that went to another queue, without an attempt, because their org or "
        "destination has its share of the handler slots and does not return them.",
        queue=(REQUEUED_QUEUE, BULK_QUEUE),
    )
    QUARANTINED: Final = PROCESSOR.counter(
        "webhook_quarantined_total", "Messages moved to the quarantine, where each runs alone."
    )


class ProcessorMetric(_WorkMetric):
    IN_FLIGHT: Final = PROCESSOR.gauge(
        "webhook_in_flight", "Attempts that are running, wait for a slot, or wait for their commit."
    )
    LAST_PROCESSED: Final = PROCESSOR.gauge(
        "webhook_last_processed_timestamp_seconds",
        "Unix time when the last attempt was recorded; 0 before the first.",
    )
    PROCESSING_PAUSED: Final = PROCESSOR.gauge(
        "webhook_processing_paused", "1 while this processor is paused, otherwise 0."
    )


class _ProcessLogEvent:
    PROCESSOR_READY: Final = PROCESSOR.log(
        "processor.ready", "The processor consumes webhooks.", fields="prefetch schedule"
    )
    PROCESSOR_STOPPING: Final = PROCESSOR.log(
        "processor.stopping",
        "The processor received a stop signal and finishes the webhooks in flight.",
    )
    PROCESSOR_WORK_ABANDONED: Final = PROCESSOR.log(
        "processor.work_abandoned",
        "Webhooks in flight did not finish in time; the broker delivers them to another processor.",
        fields="in_flight",
    )
    PROCESSOR_STOPPED: Final = PROCESSOR.log("processor.stopped", "The processor has stopped.")
    PROCESSING_PAUSED: Final = PROCESSOR.log(
        "processing.paused", "An operator paused processing.", fields="changed_by reason"
    )
    PROCESSING_RESUMED: Final = PROCESSOR.log(
        "processing.resumed", "An operator resumed processing.", fields="changed_by reason"
    )
    PAUSE_UNKNOWN: Final = PROCESSOR.log(
        "pause.unknown", "The pause state cannot be read.", fields="reason detail"
    )
    DATABASE_UNAVAILABLE: Final = PROCESSOR.log(
        "database.unavailable",
        "The database does not answer; the processor stops consuming.",
        fields="reason detail",
    )
    DATABASE_RECOVERED: Final = PROCESSOR.log(
        "database.recovered", "The database answers again.", fields="outage_s"
    )
    DATABASE_SETUP_INCOMPLETE: Final = PROCESSOR.log(
        "database.setup_incomplete",
        "A table, a function or a permission is missing in the database.",
        fields="missing remedy",
    )
    CONSUMER_LOST: Final = PROCESSOR.log(
        "consumer.lost",
        "A consumer could not be started; the processor tries again.",
        fields="queue reason",
    )
    CONSUMER_MISSING: Final = PROCESSOR.log(
        "consumer.missing",
        "The broker has lost one of this processor's consumers; the processor reconnects.",
    )
    CONSUMER_UNKNOWN: Final = PROCESSOR.log(
        "consumer.unknown",
        "The broker does not report whether it has this processor's consumers; the "
        "processor reconnects.",
        fields="reason",
    )
    HEARTBEAT_FAILED: Final = PROCESSOR.log(
        "heartbeat.failed",
        "The processor's heartbeat could not be written; one line per outage.",
        fields="reason detail",
    )
    HOUSEKEEPING_FAILED: Final = PROCESSOR.log(
        "housekeeping.failed",
        "Partitions could not be created or cleaned up; the processor tries again.",
        fields="reason detail",
    )


class _WorkLogEvent:
    ATTEMPT_FINISHED: Final = PROCESSOR.log(
        "attempt.finished",
        "An attempt ended and was recorded.",
        fields="job_id org_id event_type call_id outcome error_class attempts duration_ms age_ms "
        "repeated duplicate_of trace_id span_id",
    )
    DEAD_LETTER_RECORDED: Final = PROCESSOR.log(
        "dead_letter.recorded",
        "A webhook became a dead letter.",
        fields="job_id org_id event_type call_id attempts error_class error_message trace_id "
        "span_id",
    )
    DEAD_LETTER_NOT_RECORDED: Final = PROCESSOR.log(
        "dead_letter.not_recorded",
        "A dead letter could not be recorded because of a bug; it stays in its queue.",
        fields="job_id",
    )
    MESSAGE_QUARANTINED: Final = PROCESSOR.log(
        "message.quarantined",
        "A message that may crash the process was moved to the quarantine, to run alone.",
        fields="job_id deliveries_before",
    )
    MESSAGE_QUARANTINE_INTERRUPTED: Final = PROCESSOR.log(
        "message.quarantine_interrupted",
        "A stop interrupted a quarantined message, and its copy could not be published in "
        "time. The broker delivers it again, and the stop counts as a crash.",
        fields="job_id",
    )
    HANDLER_IGNORES_CANCELLATION: Final = PROCESSOR.log(
        "handler.ignores_cancellation",
        "A handler exceeded its time limit and still runs.",
        fields="job_id event_type",
    )
    HANDLER_TYPE_UNKNOWN: Final = PROCESSOR.log(
        "handler.type_unknown",
        "A handler names an event type that Vapi does not document; it may be misspelled.",
        fields="message",
    )
    HANDLER_STOP_FAILED: Final = PROCESSOR.log(
        "handler.stop_failed",
        "A hook with `@on_stop` raised an error or did not end in time.",
        fields="hook reason detail",
    )
    FORWARD_FAILED: Final = PROCESSOR.log(
        "forward.failed",
        "The URL of a forward gave no answer; `failure` is the cause.",
        fields="job_id endpoint_id forward failure",
    )
    FORWARD_STOPPED: Final = PROCESSOR.log(
        "forward.stopped",
        "Each request to the URL of a forward has failed for five days. Its breaker is forced "
        "open, and its webhooks wait until a person sets it to automatic again.",
        fields="destination failing_since",
    )
    MESSAGE_UNDELIVERABLE: Final = PROCESSOR.log(
        "message.undeliverable",
        "A message is not a valid webhook and becomes a dead letter.",
        fields="job_id reason",
    )
    MESSAGE_NOT_PROCESSED: Final = PROCESSOR.log(
        "message.not_processed",
        "A bug prevented processing; `exception` has the traceback. The message is "
        "delivered again later.",
        fields="job_id",
    )
    MESSAGE_PARKED: Final = PROCESSOR.log(
        "message.parked",
        "A message waits in `queue` without an attempt, because its org or destination has its "
        "share of the handler slots and does not return them: for 1, 2 and 4 s in "
        "`webhooks.requeued`, then in `webhooks.bulk`.",
        fields="job_id org_id queue",
    )
    MESSAGE_REQUEUED: Final = PROCESSOR.log(
        "message.requeued",
        "A message could not be attempted although the database is available. It is "
        "delivered again later; after ten such requeues it runs alone, and then becomes "
        "a dead letter.",
        fields="job_id requeues reason",
    )
    MESSAGE_NOT_SETTLED: Final = PROCESSOR.log(
        "message.not_settled",
        "The connection was lost before the message was settled; the broker delivers it again.",
        fields="reason",
    )
    MESSAGE_PUBLISH_RETRIED: Final = PROCESSOR.log(
        "message.publish_retried",
        "A message could not be published; the processor tries again.",
        fields="reason detail",
    )


class ProcessorLogEvent(_ProcessLogEvent, _WorkLogEvent):
    """About the process itself, and its webhooks in flight."""
