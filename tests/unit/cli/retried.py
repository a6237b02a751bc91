"""A webhook that was retried, as the metrics service answers."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.metrics.v1.delivery_pb2 import DeliveryStatus, Resolution

DEAD = "019bfe18-fd80-7000-8000-00000000dead"
FIRST = "019bfe18-fd80-7000-8000-000000000001"
NEW = "019bfe18-fd80-7000-8000-000000000002"


def at(seconds: float) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime(2026, 1, 27, 6, 30, tzinfo=UTC) + timedelta(seconds=seconds))
    return timestamp


def retried(status: DeliveryStatus.ValueType) -> metrics.GetDeliveryResponse:
    """A webhook that Anna retried 90 s after it arrived."""
    answer = metrics.GetDeliveryResponse()
    delivery, retry = answer.delivery, answer.retried_as
    delivery.job_id, delivery.event_type, delivery.status = DEAD, "tool-calls", status
    delivery.resolution = Resolution.RESOLUTION_RETRIED
    delivery.created_at.CopyFrom(at(0))
    retry.job_id, retry.new_job_id = DEAD, NEW
    retry.actor, retry.reason = "anna@laptop", "The shop is back."
    retry.created_at.CopyFrom(at(90))
    retry.published_at.CopyFrom(at(91))
    return answer
