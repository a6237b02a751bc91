"""The span of a question, from when it is asked until its answer."""

from functools import lru_cache

from opentelemetry.trace import Span as OpenSpan

from ringback.contract.telemetry.spans import Attribute, Span
from ringback.runtime.observability.tracing import Shape, Tracer, fail, shape_of
from ringback.services.gateway.webhook import AcceptedWebhook


def start_ask(tracer: Tracer, receiving: OpenSpan, webhook: AcceptedWebhook) -> OpenSpan:
    """Start the span whose context the backend gets."""
    envelope = webhook.envelope
    shape = _shape(envelope.endpoint_id, envelope.event_type)
    return tracer.child(receiving, shape, {Attribute.JOB_ID: str(envelope.job_id)})


def end_ask(span: OpenSpan, status: int | None, *, failure: str | None) -> None:
    if not span.is_recording():
        return
    if status is not None:
        span.set_attribute(Attribute.HTTP_STATUS, status)
    if failure is not None:
        fail(span, failure)


@lru_cache(maxsize=1024)
def _shape(endpoint_id: str, event_type: str) -> Shape:
    return shape_of(
        Span.ASK,
        {
            Attribute.HTTP_METHOD: "POST",
            Attribute.ENDPOINT_ID: endpoint_id,
            Attribute.EVENT_TYPE: event_type,
        },
    )
