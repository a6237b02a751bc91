"""Spans and shapes for the tests of this folder."""

from collections.abc import Mapping

from hypothesis import strategies as st
from opentelemetry.trace import SpanKind

from ringback.contract.trace_context import TraceContext
from ringback.runtime.tracing.shape import Shape, Value
from ringback.runtime.tracing.span import Link, RecordedSpan

SHAPE = Shape("publish webhooks", SpanKind.PRODUCER, {"messaging.system": "rabbitmq"})
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = TraceContext(f"00-{TRACE_ID}-{SPAN_ID}-03", "vendor=1")
UNSAMPLED = TraceContext(f"00-{TRACE_ID}-{SPAN_ID}-00")

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)


def ended(
    shape: Shape = SHAPE,
    attributes: Mapping[str, Value] | None = None,
    *,
    parent: TraceContext | None = None,
    links: tuple[Link, ...] = (),
    error_type: str = "",
    description: str = "",
) -> RecordedSpan:
    """A span that lasted a microsecond."""
    kept: list[RecordedSpan] = []
    span = RecordedSpan(
        shape,
        kept.append,
        parent.trace_id if parent else TRACE_ID,
        3,
        parent.tracestate if parent else None,
        parent.span_id if parent else "",
        attributes or {},
        1_700_000_000_000_000_000,
    )
    span.parent_is_remote = parent is not None
    span.links = links
    if error_type:
        span.failed(error_type, description)
    span.end(1_700_000_000_000_001_000)
    return kept[0]
