"""Begins spans, and decides which of them are kept."""

from collections.abc import Callable, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler

from ringback.contract.trace_context import TraceContext, new_trace_context
from ringback.runtime.tracing.shape import Shape, Value
from ringback.runtime.tracing.span import (
    NOTHING,
    Link,
    OpenSpan,
    RecordedSpan,
    UnrecordedSpan,
    new_span_id,
    new_trace_id,
)

_SAMPLED, _RANDOM = 1, 2
_NO_PARENT = Context()


class Tracer:
    """Asks the sampler once for each incoming span; child spans share its decision.

    If `keep` is None nothing is traced, and each span passes on the incoming context.
    """

    def __init__(self, sampler: Sampler, keep: Callable[[RecordedSpan], None] | None) -> None:
        self._sampler = sampler
        self._keep = keep

    @property
    def is_on(self) -> bool:
        return self._keep is not None

    def start(
        self,
        shape: Shape,
        *,
        parent: TraceContext | None = None,
        links: Sequence[Link] = (),
        attributes: Mapping[str, Value] = NOTHING,
        began_ns: int = 0,
    ) -> OpenSpan:
        """A span that continues another process's work, or a new trace if there is no parent.

        It is the beginning of this process's part; work inside it is its `child`.
        """
        if self._keep is None:
            return UnrecordedSpan(parent or new_trace_context())
        if parent is None:
            trace_id, flags, tracestate = new_trace_id(), _RANDOM, None
        else:
            trace_id, flags, tracestate = parent.trace_id, parent.flags & _RANDOM, parent.tracestate
        parent_id = "" if parent is None else parent.span_id
        is_kept = self._keeps(trace_id, shape, parent, links)
        if not is_kept:
            own = f"00-{trace_id}-{new_span_id()}-{flags:02x}"
            return UnrecordedSpan(TraceContext(own, tracestate))
        span = RecordedSpan(
            shape,
            self._keep,
            trace_id,
            flags | _SAMPLED,
            tracestate,
            parent_id,
            attributes,
            began_ns,
        )
        span.parent_is_remote = parent is not None
        span.links = links
        return span

    def keeps_trace(self, trace_id: str) -> bool:
        """Whether a trace with this id, begun here without a request to sample it, is kept."""
        if self._keep is None:
            return False
        result = self._sampler.should_sample(_NO_PARENT, int(trace_id, 16), "")
        return result.decision is Decision.RECORD_AND_SAMPLE

    def _keeps(
        self, trace_id: str, shape: Shape, parent: TraceContext | None, links: Sequence[Link]
    ) -> bool:
        result = self._sampler.should_sample(
            _NO_PARENT if parent is None else _as_parent(parent),
            int(trace_id, 16),
            shape.name,
            shape.kind,
            None,
            [trace.Link(_span_context(link.context)) for link in links] if links else None,
        )
        return result.decision is Decision.RECORD_AND_SAMPLE


def _as_parent(context: TraceContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(_span_context(context)), _NO_PARENT)


def _span_context(context: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(context.flags),
    )
