"""Envelopes and webhooks as the gateway creates them."""

from uuid import UUID

from ringback.contract.envelope import Envelope
from ringback.contract.identity import created_at, new_job_id
from ringback.contract.trace_context import new_trace_context
from ringback.services.gateway.webhook import AcceptedWebhook

ORG = UUID("00000000-0000-0000-0000-000000000001")


def an_envelope() -> Envelope:
    job_id = new_job_id()
    return Envelope(
        job_id=job_id,
        event_type="hang",
        org_id=ORG,
        endpoint_id="default",
        received_at=created_at(job_id),
        gateway_instance_id=new_job_id(),
        trace=new_trace_context(),
        dedup_key="hash|hang|1",
    )


def a_webhook(body: bytes = b"{}") -> AcceptedWebhook:
    return AcceptedWebhook(an_envelope(), call_id=None, body=body)
