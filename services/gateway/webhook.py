"""An accepted webhook, the type that all parts of the gateway share, and batches of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import JobId, created_at
from ringback.contract.trace_context import TraceContext
from services.gateway.endpoints import Endpoint
from services.gateway.events.metadata import EventMetadata

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
        """About what it takes, in memory and on disk."""
        return len(self.body) + OVERHEAD_BYTES


def accept(
    metadata: EventMetadata,
    body: bytes,
    *,
    job_id: JobId,
    endpoint: Endpoint,
    instance_id: UUID,
    trace: TraceContext,
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
    )
    return AcceptedWebhook(envelope, metadata.call_id, body)


def batch_of(
    webhooks: Iterable[AcceptedWebhook], *, max_count: int, max_bytes: int
) -> list[AcceptedWebhook]:
    """Return the first webhooks that fit into one batch: at least one, if there is any."""
    batch: list[AcceptedWebhook] = []
    size_bytes = 0
    for webhook in webhooks:
        size_bytes += webhook.size_bytes
        if batch and (len(batch) >= max_count or size_bytes > max_bytes):
            break
        batch.append(webhook)
    return batch
