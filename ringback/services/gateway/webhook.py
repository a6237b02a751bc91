"""An accepted webhook, the type that all parts of the gateway share, and batches of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import JobId, created_at
from ringback.contract.trace_context import TraceContext
from ringback.services.gateway.endpoints.endpoint import Endpoint
from ringback.services.gateway.events.metadata import EventMetadata

OVERHEAD_BYTES = 1024
"""What a webhook takes in addition to its body, in memory and on disk."""


@dataclass(frozen=True, slots=True)
class AcceptedWebhook:
    """An event with its job id and envelope."""

    envelope: Envelope
    call_id: str | None
    body: bytes

    @property
    def size_bytes(self) -> int:
        """Approximate size in memory and on disk."""
        return len(self.body) + OVERHEAD_BYTES


def accept(
    metadata: EventMetadata,
    body: bytes,
    *,
    job_id: JobId,
    endpoint: Endpoint,
    instance_id: UUID,
    trace: TraceContext,
    is_bulk: bool = False,
) -> AcceptedWebhook:
    """Put an event in its envelope. The org is the endpoint's, never the body's."""
    envelope = Envelope(
        job_id=job_id,
        event_type=metadata.type,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.id,
        received_at=created_at(job_id),
        gateway_instance_id=instance_id,
        trace=trace,
        dedup_key=metadata.dedup_key,
        is_bulk=is_bulk,
        retry_schedule=endpoint.retry_schedule,
    )
    return AcceptedWebhook(envelope, metadata.call_id, body)


class _Sized(Protocol):
    @property
    def size_bytes(self) -> int: ...


_SizedT = TypeVar("_SizedT", bound=_Sized)


def batch_of(items: Iterable[_SizedT], *, max_count: int, max_bytes: int) -> list[_SizedT]:
    """Return the first items that fit into one batch: at least one, if there is any."""
    batch: list[_SizedT] = []
    size_bytes = 0
    for item in items:
        size_bytes += item.size_bytes
        if batch and (len(batch) >= max_count or size_bytes > max_bytes):
            break
        batch.append(item)
    return batch
