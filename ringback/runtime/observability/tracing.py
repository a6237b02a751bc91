"""Spans of the OpenTelemetry SDK: how the services begin, fail and end them."""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, StatusCode, TraceFlags, TraceState

import ringback
from ringback.contract.json_text import sanitize_text
from ringback.contract.telemetry.spans import Attribute
from ringback.contract.telemetry.spec import SpanSpec
from ringback.contract.trace_context import TraceContext, new_trace_context

SCOPE = "ringback"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that the attributes follow."""

Value = str | int | float | bool

_PLACE = re.compile(r"\{([^}]+)\}")
_NO_PARENT = context.Context()


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The fixed part of a span: its name, its kind, and attributes that never change."""

    name: str
    kind: SpanKind
    attributes: Mapping[str, Value]


def shape_of(spec: SpanSpec, attributes: Mapping[str, Value]) -> Shape:
    """A shape whose name is built from these attributes; a missing one leaves its place empty.

    Raises KeyError for an attribute that is not declared.
    """
    for key in attributes:
        if key not in spec.attributes:
            raise KeyError(f"{spec.name} has no attribute {key}.")
    name = _PLACE.sub(lambda place: str(attributes.get(place[1], "")), spec.name)
    return Shape(name.strip(), SpanKind[spec.kind.name], attributes)


@dataclass(frozen=True, slots=True)
class Link:
    """A related span that is not the parent; `relation` names the relation."""

    context: TraceContext
    relation: str


class Tracer:
    """Begins spans. Without a provider nothing is traced: a span only passes on its context.

    The sampler decides once for each incoming span, before its attributes exist; child spans share
    its decision. Text and stack of an exception may contain secrets, so no span records them.
    """

    def __init__(self, provider: trace.TracerProvider | None) -> None:
        self._tracer = (
            None
            if provider is None
            else provider.get_tracer(SCOPE, ringback.__version__, SCHEMA_URL)
        )

    @property
    def is_on(self) -> bool:
        return self._tracer is not None

    def start(
        self, shape: Shape, *, parent: TraceContext | None = None, links: Sequence[Link] = ()
    ) -> Span:
        """A span that continues another process's work, or a new trace if there is no parent.

        It covers this process's part; work inside it is its `child`.
        """
        if self._tracer is None:
            return _passing_on(parent or new_trace_context())
        # At a high rate most spans are not kept. Samplers read links only if there is no parent.
        span = self._tracer.start_span(
            shape.name,
            _NO_PARENT if parent is None else _under(_passing_on(parent)),
            shape.kind,
            shape.attributes,
            None if parent else [trace.Link(_span_context(o.context), _relation(o)) for o in links],
            record_exception=False,
            set_status_on_exception=False,
        )
        if parent is not None and span.is_recording():
            for link in links:
                add_link(span, link)
        return span

    def child(
        self,
        parent: Span,
        shape: Shape,
        attributes: Mapping[str, Value] | None = None,
        *,
        start_ns: int | None = None,
    ) -> Span:
        """A part of the parent's work, which may end after it.

        It is the parent itself if that is not recorded. `start_ns` is for one that began earlier.
        """
        if self._tracer is None or not parent.get_span_context().trace_flags.sampled:
            return parent
        return self._tracer.start_span(
            shape.name,
            _under(parent),
            shape.kind,
            {**shape.attributes, **attributes} if attributes else shape.attributes,
            start_time=start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )


NO_TRACES: Final = Tracer(None)


def untraced() -> Span:
    """The span of work that is not traced, and has no traced parts."""
    unsampled = new_trace_context().traceparent[:-2] + "00"
    return _passing_on(TraceContext(unsampled))


@contextmanager
def ending(span: Span) -> Generator[Span, None, None]:
    """End the span on exit, unless it ended before. An exception inside is its failure."""
    try:
        yield span
    except BaseException as exc:
        fail(span, type(exc).__qualname__)
        raise
    finally:
        if span.is_recording():
            span.end()


def fail(span: Span, error_type: str, description: str = "") -> None:
    """Mark the span as failed, unless it has ended. `error_type` is one of a few words."""
    if span.is_recording():
        span.set_attribute(Attribute.ERROR_TYPE, error_type)
        span.set_status(StatusCode.ERROR, sanitize_text(description))


def add_link(span: Span, link: Link) -> None:
    """Add a link to something that became known after the beginning."""
    span.add_link(_span_context(link.context), _relation(link))


def make_current(span: Span) -> None:
    """Make `span` the parent of spans that other code begins in this task."""
    context.attach(trace.set_span_in_context(span))


def trace_context(span: Span) -> TraceContext:
    """The context that others continue."""
    own = span.get_span_context()
    return TraceContext(
        f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}",
        own.trace_state.to_header() or None,
    )


def _passing_on(parent: TraceContext) -> Span:
    return NonRecordingSpan(_span_context(parent))


def _under(parent: Span) -> context.Context:
    return trace.set_span_in_context(parent, _NO_PARENT)


def _relation(link: Link) -> Mapping[str, Value]:
    return {Attribute.LINK: link.relation}


def _span_context(given: TraceContext) -> trace.SpanContext:
    return trace.SpanContext(
        int(given.trace_id, 16),
        int(given.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(given.flags),
        trace_state=TraceState.from_header([given.tracestate]) if given.tracestate else None,
    )
