"""Our encoding is compared with the SDK's encoding of an equal span."""

from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SdkLink
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import ringback
from ringback.contract.trace_context import TraceContext
from ringback.runtime.tracing.otlp_request import request_of
from ringback.runtime.tracing.resource import SCOPE
from ringback.runtime.tracing.shape import Shape, Value
from ringback.runtime.tracing.span import Link, RecordedSpan
from tests.unit.runtime.tracing.traced_spans import (
    ATTRIBUTES,
    KEYS,
    SAMPLED,
    SHAPE,
    UNSAMPLED,
    VALUES,
    ended,
)

RESOURCE: dict[str, Value] = {"service.name": "ringback-tests", "pid": 7}
_W3C_FLAGS = 0xFF


@given(
    kind=st.sampled_from(SpanKind),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    shared=ATTRIBUTES,
    own=ATTRIBUTES,
    parent=st.sampled_from([None, SAMPLED, UNSAMPLED]),
    links=st.lists(st.builds(Link, st.sampled_from([SAMPLED, UNSAMPLED]), KEYS), max_size=2),
    error_type=st.sampled_from(["", "timeout", "ValueError"]),
)
def test_a_span_is_what_the_sdk_makes_of_it(
    kind: SpanKind,
    name: str,
    shared: dict[str, Value],
    own: dict[str, Value],
    parent: TraceContext | None,
    links: list[Link],
    error_type: str,
) -> None:
    """Every field has the value that the SDK's own encoder gives it, with flags of W3C beside."""
    span = ended(
        Shape(name, kind, shared),
        own,
        parent=parent,
        links=tuple(links),
        error_type=error_type,
        description=error_type and "It was late.",
    )

    ours = ExportTraceServiceRequest.FromString(request_of([span], RESOURCE))
    theirs = encode_spans([as_sdk_span(span)])

    assert only_span(ours).flags & _W3C_FLAGS == 3
    assert comparable(ours) == comparable(theirs)


def test_many_spans_are_one_request() -> None:
    """They keep their order, under one resource and one scope."""
    spans = [ended(SHAPE, {"place": place}) for place in range(100)]

    request = ExportTraceServiceRequest.FromString(request_of(spans, RESOURCE))

    [of_resource] = request.resource_spans
    [of_scope] = of_resource.scope_spans
    assert [span.span_id.hex() for span in of_scope.spans] == [span.span_id for span in spans]
    assert [span.attributes[1].value.int_value for span in of_scope.spans] == [*range(100)]


def test_a_key_stands_once() -> None:
    """Attributes of the span override those of its shape."""
    span = ended(Shape("a", SpanKind.CLIENT, {"x": "shape", "y": 1}), {"x": "span"})

    encoded = only_span(ExportTraceServiceRequest.FromString(request_of([span], RESOURCE)))

    assert {one.key: MessageToDict(one.value) for one in encoded.attributes} == {
        "y": {"intValue": "1"},
        "x": {"stringValue": "span"},
    }
    assert len(encoded.attributes) == 2


@given(
    text=st.text(max_size=100).map(lambda text: f"{text}\ud800"),
    key=st.sampled_from(["k", "k" * 80]),
)
def test_what_is_no_unicode_costs_no_span(text: str, key: str) -> None:
    """A lone surrogate becomes `?` everywhere; protobuf cannot encode it."""
    span = ended(SHAPE, {key: text}, error_type=text, description=text)

    encoded = only_span(ExportTraceServiceRequest.FromString(request_of([span], RESOURCE)))

    assert encoded.attributes[1].value.string_value.endswith("?")
    assert encoded.status.message.endswith("?")


@given(key=KEYS, value=VALUES)
def test_each_attribute_is_encoded_alike_in_span_and_shape(key: str, value: Value) -> None:
    """The short way and the library's way lead to the same."""
    in_span = ended(Shape("a", SpanKind.CLIENT, {}), {key: value})
    in_shape = ended(Shape("a", SpanKind.CLIENT, {key: value}))

    of_span, of_shape = (
        only_span(ExportTraceServiceRequest.FromString(request_of([span], RESOURCE))).attributes
        for span in (in_span, in_shape)
    )

    assert of_span == of_shape


def only_span(request: ExportTraceServiceRequest) -> Span:
    return request.resource_spans[0].scope_spans[0].spans[0]


def comparable(request: ExportTraceServiceRequest) -> Mapping[str, object]:
    """Without what the SDK leaves out, W3C's flags and the state of a link, and in one order."""
    span = only_span(request)
    span.flags &= ~_W3C_FLAGS
    for link in span.links:
        link.flags &= ~_W3C_FLAGS
        link.trace_state = ""
    if not span.status.code:
        span.ClearField("status")  # The SDK also writes that there is none.
    attributes = sorted(span.attributes, key=lambda one: one.key)
    del span.attributes[:]
    span.attributes.extend(attributes)
    decoded: Mapping[str, object] = MessageToDict(request)
    return decoded


def as_sdk_span(span: RecordedSpan) -> ReadableSpan:
    attributes = {**span.shape.attributes, **span.attributes}
    if span.error_type:
        attributes["error.type"] = span.error_type
    state = span.tracestate and TraceState.from_header([span.tracestate])
    return ReadableSpan(
        name=span.shape.name,
        context=SpanContext(
            int(span.trace_id, 16),
            int(span.span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(span.flags),
            trace_state=state or None,
        ),
        parent=SpanContext(int(span.trace_id, 16), int(span.parent_id, 16), is_remote=True)
        if span.parent_id
        else None,
        resource=Resource(RESOURCE),
        attributes=attributes,
        links=[
            SdkLink(_context(link.context), {"ringback.link": link.relation}) for link in span.links
        ],
        kind=span.shape.kind,
        status=Status(StatusCode.ERROR, span.description) if span.error_type else Status(),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=InstrumentationScope(SCOPE, ringback.__version__),
    )


def _context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.flags),
        trace_state=TraceState.from_header([context.tracestate or ""]),
    )
