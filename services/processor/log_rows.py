"""Webhooks as the parallel arrays that the functions of the delivery log take."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.processor.delivery import Delivery


@dataclass(frozen=True, slots=True)
class LogRow:
    """What the log needs to know of a webhook if the gateway's row is missing."""

    id: UUID
    org_id: UUID
    endpoint_id: str
    event_type: str
    event_data: str
    altered: bool
    max_attempts: int
    call_id: str | None
    dedup_key: str | None
    gateway_instance_id: UUID | None
    retry_of: UUID | None


def log_row(delivery: Delivery, max_attempts: int) -> LogRow:
    envelope, event = delivery.envelope, delivery.event
    return LogRow(
        id=envelope.job_id,
        org_id=envelope.org_id,
        endpoint_id=envelope.endpoint_id,
        event_type=envelope.event_type,
        event_data=delivery.redacted.text,
        altered=delivery.redacted.altered,
        max_attempts=max_attempts,
        call_id=event.call_id,
        dedup_key=envelope.dedup_key,
        gateway_instance_id=envelope.gateway_instance_id,
        retry_of=envelope.retry_of,
    )


def columns(rows: Sequence[LogRow]) -> tuple[list[object], ...]:
    """One list per column after the id, in the order in which the functions take them."""
    return (
        [row.org_id for row in rows],
        [row.endpoint_id for row in rows],
        [row.event_type for row in rows],
        [row.event_data for row in rows],
        [row.altered for row in rows],
        [row.max_attempts for row in rows],
        [row.call_id for row in rows],
        [row.dedup_key for row in rows],
        [row.gateway_instance_id for row in rows],
        [row.retry_of for row in rows],
    )
