"""What only the processor measures."""

from typing import Final

from ringback.contract import thresholds
from ringback.contract.dead_reason import DeadReason
from ringback.contract.status import AttemptOutcome, Status
from ringback.contract.telemetry.event_types import EVENT_TYPE_LABELS
from ringback.contract.telemetry.metric_spec import Kind, MetricSpec, Open
from ringback.contract.telemetry.service_name import Service

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
