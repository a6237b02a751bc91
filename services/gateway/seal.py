"""From an event to what is published and what is written about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import JobId, created_at
from ringback.contract.json_text import keepable
from ringback.contract.trace_context import TraceContext, new_trace_context, trace_context_of
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
    headers: Mapping[str, str],
) -> Sealed:
    """Put an event under an id of its own. Whose it is, the endpoint alone says."""
    envelope = Envelope(
        job_id=job_id,
        event_type=head.type,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.id,
        received_at=created_at(job_id),
        gateway_life=life,
        trace=_trace_in(headers),
        dedup_key=head.dedup_key,
    )
    return Sealed(envelope, head.call_id, body)


def _trace_in(headers: Mapping[str, str]) -> TraceContext:
    """The caller's trace, so that ours continues it; a new one if it sent none."""
    state = headers.get("tracestate")
    # A header may hold any byte, but what goes to the broker must be text.
    kept = keepable(state) if state else None
    return trace_context_of(headers.get("traceparent"), kept) or new_trace_context()
