"""From an event to what is published and what is written about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.event import Event
from ringback.contract.identity import JobId, created_at
from ringback.contract.json_text import keepable
from ringback.contract.trace_context import TraceContext, new_trace_context, trace_context_of
from services.gateway.dedup_key import dedup_key
from services.gateway.endpoint import Endpoint
from services.gateway.pending_row import PendingRow


@dataclass(frozen=True, slots=True)
class Sealed:
    """What outlives the parsed document, which may be many times larger than its text."""

    envelope: Envelope
    row: PendingRow
    size_bytes: int


def seal(
    event: Event,
    *,
    job_id: JobId,
    endpoint: Endpoint,
    life: UUID,
    headers: Mapping[str, str],
    size_bytes: int,
) -> Sealed:
    """Put an event under an id of its own. Whose it is, the endpoint alone says."""
    envelope = Envelope(
        job_id=job_id,
        event_type=event.type,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.id,
        received_at=created_at(job_id),
        gateway_life=life,
        trace=_trace_in(headers),
        dedup_key=dedup_key(event),
    )
    return Sealed(envelope, PendingRow.of(envelope, event), size_bytes)


def _trace_in(headers: Mapping[str, str]) -> TraceContext:
    """The caller's trace, so that ours continues it; a new one if it sent none."""
    state = headers.get("tracestate")
    # A header may hold any byte, but what goes to the broker must be text.
    kept = keepable(state) if state else None
    return trace_context_of(headers.get("traceparent"), kept) or new_trace_context()
