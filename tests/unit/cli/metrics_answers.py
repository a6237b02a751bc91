"""Answers of a metrics service, for the views that show them."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import (
    AttemptOutcome,
    Delivery,
    DeliveryStatus,
    Resolution,
)

DEAD = "019bfe18-fd80-7000-8000-00000000dead"
FIRST = "019bfe18-fd80-7000-8000-000000000001"
NEW = "019bfe18-fd80-7000-8000-000000000002"
ARRIVED = datetime(2026, 1, 27, 6, 30, tzinfo=UTC)


def at(seconds: float) -> Timestamp:
    """Time after the webhook arrived."""
    timestamp = Timestamp()
    timestamp.FromDatetime(ARRIVED + timedelta(seconds=seconds))
    return timestamp


def health(*, waiting: int = 5, ok: bool = True) -> metrics.GetQueueHealthResponse:
    answer = metrics.GetQueueHealthResponse(healthy=ok, timestamp=at(0), dead_letters=1)
    answer.metrics.waiting = waiting
    answer.metrics.completed = 1247
    answer.stats.failure_rate = "0.24%"
    answer.checks.add(name="waiting", ok=ok, value=waiting, limit=100, message="So many wait.")
    answer.checks.add(name="dead_letters", ok=True, value=1, limit=10, message="Few enough.")
    answer.queues.add(queue="webhooks.work", messages=waiting)
    answer.processing.processors = 1
    return answer


def dead_letter() -> Delivery:
    return Delivery(
        id=DEAD,
        job_id=DEAD,
        org_id="00000000-0000-0000-0000-000000000001",
        event_type="end-of-call-report",
        status=DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER,
        attempts=2,
        max_attempts=2,
        created_at=at(0),
        last_attempt_at=at(2.5),
        error_class="TimeoutError",
        error_message="The shop did not\nanswer.\x1b[31m",
        event_data='{"message": {"type": "end-of-call-report"}}',
    )


def run_duplicate() -> metrics.GetDeliveryResponse:
    """A duplicate that Anna ran anyway."""
    answer = metrics.GetDeliveryResponse()
    delivery = answer.delivery
    delivery.job_id, delivery.event_type, delivery.duplicate_of = DEAD, "tool-calls", FIRST
    delivery.status = DeliveryStatus.DELIVERY_STATUS_DUPLICATE
    delivery.resolution = Resolution.RESOLUTION_RETRIED
    delivery.created_at.CopyFrom(at(0))
    delivery.resolved_at.CopyFrom(at(90))
    run = answer.retried_as
    run.job_id, run.new_job_id, run.duplicate_of = DEAD, NEW, FIRST
    run.actor, run.reason = "anna@laptop", "Two bookings."
    run.created_at.CopyFrom(at(90))
    run.published_at.CopyFrom(at(91))
    return answer


def retried_dead_letter() -> metrics.GetDeliveryResponse:
    """Two attempts that failed, then a retry by Anna."""
    answer = metrics.GetDeliveryResponse(delivery=dead_letter())
    answer.delivery.retried_as = NEW
    answer.delivery.resolution = Resolution.RESOLUTION_RETRIED
    answer.delivery.resolved_at.CopyFrom(at(90))
    for number, start_s in ((1, 0.02), (2, 2.1)):
        answer.attempts.add(
            attempt=number,
            outcome=AttemptOutcome.ATTEMPT_OUTCOME_FAILED,
            started_at=at(start_s),
            ended_at=at(start_s + 0.4),
            duration_ms=400,
            error_class="TimeoutError",
            error_message=f"No answer to attempt {number}.",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        )
    retry = answer.retried_as
    retry.job_id, retry.new_job_id = DEAD, NEW
    retry.actor, retry.reason = "anna@laptop", "The shop is back."
    retry.created_at.CopyFrom(at(90))
    retry.published_at.CopyFrom(at(91))
    return answer
