"""The publish span of each retry, and how it links to the webhook's other traces."""

from typing import Final

import asyncpg

from ringback.contract.retry_schedule import FIRST_ATTEMPT, routing_key
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.topology import WEBHOOKS
from ringback.contract.trace_context import TraceContext, trace_context_of
from ringback.runtime.tracing import Link, OpenSpan, Tracer, Value, shape_of

ROUTING_KEY: Final = routing_key(FIRST_ATTEMPT)
_ORIGIN = "origin"
_PUBLISH = shape_of(
    Span.PUBLISH,
    {
        Attribute.MESSAGING_SYSTEM: "rabbitmq",
        Attribute.OPERATION_NAME: "publish",
        Attribute.OPERATION_TYPE: "send",
        Attribute.DESTINATION: f"{WEBHOOKS}:{ROUTING_KEY}",
        Attribute.ROUTING_KEY: ROUTING_KEY,
    },
)


class RetrySpans:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def origin_of(self, row: asyncpg.Record) -> TraceContext | None:
        """The first attempt of the retried webhook; None if none was recorded.

        The log does not record whether the trace was sampled, so the sampler decides again.
        """
        trace_id, span_id = row["trace_id"], row["span_id"]
        if not (trace_id and span_id):
            return None
        flags = "01" if self._tracer.keeps_trace(trace_id) else "00"
        return trace_context_of(f"00-{trace_id}-{span_id}-{flags}", None)

    def publish(
        self, row: asyncpg.Record, origin: TraceContext | None, within: OpenSpan | None
    ) -> OpenSpan:
        """Start a child of the call's span, or a new trace when no call waits."""
        links = [Link(origin, _ORIGIN)] if origin else []
        attributes: dict[str, Value] = {
            Attribute.MESSAGE_ID: str(row["id"]),
            Attribute.JOB_ID: str(row["id"]),
            Attribute.RETRY_OF: str(row["original"]),
        }
        if within is None:
            return self._tracer.start(_PUBLISH, links=links, attributes=attributes)
        span = within.child(_PUBLISH, attributes)
        for link in links:
            span.link(link)
        return span
