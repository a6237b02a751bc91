"""From an event to what is published and what is written about it."""

from dataclasses import dataclass
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import JobId, created_at
from ringback.contract.trace_context import TraceContext
from services.gateway.endpoint import Endpoint
from services.gateway.head import Head
from services.gateway.pending_row import PendingRow


@dataclass(frozen=True, slots=True)
class Sealed:
    """A webhook under an id of its own, as it is published and written about."""

    envelope: Envelope
    call_id: str | None
    body: bytes

    def row(self, *, with_payload: bool) -> PendingRow:
        return PendingRow(self.envelope, self.call_id, self.body if with_payload else None)


def seal(
    head: Head,
    body: bytes,
    *,
    job_id: JobId,
    endpoint: Endpoint,
    life: UUID,
    trace: TraceContext,
) -> Sealed:
    """Put an event under an id of its own. Whose it is, the endpoint alone says."""
    envelope = Envelope(
        job_id=job_id,
        event_type=head.type,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.id,
        received_at=created_at(job_id),
        gateway_life=life,
        trace=trace,
        dedup_key=head.dedup_key,
    )
    return Sealed(envelope, head.call_id, body)
