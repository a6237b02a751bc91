"""How spans begin, fail and end."""

import logging

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from ringback.contract.telemetry.spans import Attribute, Span, all_spans
from ringback.contract.telemetry.spec import SpanSpec
from ringback.contract.trace_context import TraceContext
from ringback.runtime.observability.tracing import (
    NO_TRACES,
    Link,
    Shape,
    Value,
    ending,
    fail,
    shape_of,
    trace_context,
    untraced,
)
from tests.support.kept_spans import KeptSpans, error_type_of

SHAPE = Shape("receive", SpanKind.SERVER, {"http.request.method": "POST"})
PART = Shape("publish", SpanKind.PRODUCER, {"messaging.system": "rabbitmq"})
SENT = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1,b=2")


def test_a_name_is_built_from_attributes() -> None:
    """Each word in braces is the attribute of that name; a request to no route has its method."""
    attributes: dict[str, Value] = {Attribute.HTTP_METHOD: "POST", Attribute.HTTP_ROUTE: "/hooks"}

    shape = shape_of(Span.RECEIVE, attributes)

    assert (shape.name, shape.kind) == ("POST /hooks", SpanKind.SERVER)
    assert shape.attributes == attributes
    assert shape_of(Span.RECEIVE, {Attribute.HTTP_METHOD: "GET"}).name == "GET"
    with pytest.raises(KeyError, match=r"http\.secret"):
        shape_of(Span.RECEIVE, {"http.secret": "x"})


@pytest.mark.parametrize("spec", all_spans(), ids=lambda spec: spec.name)
def test_every_declared_span_has_a_shape(spec: SpanSpec) -> None:
    """Each kind is one that OpenTelemetry has."""
    assert shape_of(spec, {}).kind in SpanKind


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_without_a_provider_the_senders_context_is_passed_on(flags: str) -> None:
    """It is unchanged, and children have the same context."""
    sent = TraceContext(f"{SENT.traceparent[:-2]}{flags}", SENT.tracestate)
    span = NO_TRACES.start(SHAPE, parent=sent)

    assert trace_context(span) == sent
    assert NO_TRACES.child(span, PART) is span
    assert not NO_TRACES.is_on


def test_work_that_is_not_traced_has_ids() -> None:
    """Its log lines share them, and nothing within it is traced."""
    one, two = untraced(), untraced()

    assert trace_context(one).trace_id != trace_context(two).trace_id
    assert not trace_context(one).is_sampled
    assert KeptSpans().tracer.child(one, PART) is one


def test_children_of_an_unsampled_span_are_that_span() -> None:
    """They cost nothing, and other services see one span that was not sampled."""
    tracer = KeptSpans(ALWAYS_OFF).tracer
    span = tracer.start(SHAPE, parent=SENT)

    assert tracer.child(span, PART) is span
    assert trace_context(span).trace_id == SENT.trace_id
    assert not trace_context(span).is_sampled


def test_a_kept_span_has_its_parent_links_and_attributes() -> None:
    """Also a part that begins after its parent ended, at a given time."""
    kept = KeptSpans()
    with ending(kept.tracer.start(SHAPE, parent=SENT, links=[Link(SENT, "origin")])) as span:
        pass
    kept.tracer.child(span, PART, {"a": 1}, start_ns=5).end(7)

    receive, publish = kept.all
    assert (receive.name, receive.kind) == ("receive", SpanKind.SERVER)
    assert receive.parent is not None
    assert (f"{receive.parent.span_id:016x}", receive.parent.is_remote) == (SENT.span_id, True)
    assert [dict(link.attributes or {}) for link in receive.links] == [{"ringback.link": "origin"}]
    assert dict(receive.attributes or {}) == SHAPE.attributes
    assert receive.context.trace_state.to_header() == SENT.tracestate
    assert publish.parent == receive.context
    assert dict(publish.attributes or {}) == {"messaging.system": "rabbitmq", "a": 1}
    assert (publish.start_time, publish.end_time) == (5, 7)
    assert publish.instrumentation_scope is not None
    assert publish.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


def test_an_error_fails_the_span_without_its_text() -> None:
    """No event, stack or description shows what may be secret."""
    kept = KeptSpans()

    with pytest.raises(ValueError, match="hush"), ending(kept.tracer.start(SHAPE)):
        raise ValueError("hush")

    [span] = kept.all
    assert error_type_of(span) == "ValueError"
    assert not span.status.is_ok
    assert "hush" not in span.to_json()


def test_a_span_ends_once(caplog: pytest.LogCaptureFixture) -> None:
    """Calls after its end change nothing and log nothing."""
    kept = KeptSpans()

    with caplog.at_level(logging.WARNING), ending(kept.tracer.start(SHAPE)) as span:
        span.end()
        fail(span, "late")

    assert [error_type_of(one) for one in kept.all] == [None]
    assert not caplog.records


def test_a_description_is_text_that_any_store_accepts() -> None:
    """It may quote a caller; a lone surrogate would cost the whole batch its export."""
    kept = KeptSpans()
    with ending(kept.tracer.start(SHAPE)) as span:
        fail(span, "x", "a\ud800b\x00")

    description = kept.all[0].status.description
    assert description is not None
    assert description.encode()
    assert "\x00" not in description
