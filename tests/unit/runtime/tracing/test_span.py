"""Tests for ringback.runtime.tracing.span and .tracer."""

import asyncio

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from ringback.contract.trace_context import trace_context_of
from ringback.runtime.tracing.sampler import sampler_of
from ringback.runtime.tracing.span import Link, RecordedSpan
from ringback.runtime.tracing.tracer import Tracer
from tests.unit.runtime.tracing.traced_spans import SAMPLED, SHAPE, SPAN_ID, TRACE_ID, UNSAMPLED

Kept = list[RecordedSpan]


def test_a_span_of_nobodys_wish_begins_a_trace() -> None:
    """It has no parent and new ids, and marks them as random."""
    kept: Kept = []

    with Tracer(ALWAYS_ON, kept.append).start(SHAPE, attributes={"a": 1}) as span:
        context = span.context

    [one] = kept
    assert (one.parent_id, one.parent_is_remote, one.links) == ("", False, ())
    assert context.traceparent == f"00-{one.trace_id}-{one.span_id}-03"
    assert trace_context_of(context.traceparent, None) == context
    assert one.began_ns <= one.ended_ns
    assert one.attributes == {"a": 1}


def test_a_span_continues_the_trace_of_its_sender() -> None:
    """Trace id, state and random flag are the sender's; so is the span above it."""
    kept: Kept = []

    with Tracer(sampler_of({}), kept.append).start(SHAPE, parent=SAMPLED) as span:
        context = span.context

    [one] = kept
    assert (one.trace_id, one.parent_id, one.parent_is_remote) == (TRACE_ID, SPAN_ID, True)
    assert (context.tracestate, context.flags) == ("vendor=1", 3)


def test_flags_do_not_say_more_than_the_sender_knew() -> None:
    """A trace id that is not known to be random is not marked so."""
    parent = trace_context_of(f"00-{TRACE_ID}-{SPAN_ID}-01", None)

    span = Tracer(ALWAYS_ON, lambda _: None).start(SHAPE, parent=parent)

    assert span.context.flags == 1


def test_a_part_ends_by_itself() -> None:
    """A child is below its span, in the same trace, and may end after it."""
    kept: Kept = []
    span = Tracer(ALWAYS_ON, kept.append).start(SHAPE, parent=SAMPLED)

    part = span.child(SHAPE, {"b": 2}, began_ns=5)
    span.end()
    part.end(9)

    whole, child = kept
    assert (child.trace_id, child.parent_id) == (whole.trace_id, whole.span_id)
    assert (child.parent_is_remote, child.tracestate) == (False, "vendor=1")
    assert (child.began_ns, child.ended_ns, child.attributes) == (5, 9, {"b": 2})


def test_only_the_first_end_counts() -> None:
    """A span is kept once, however often it is ended."""
    kept: Kept = []

    with Tracer(ALWAYS_ON, kept.append).start(SHAPE) as span:
        span.end(7)

    assert [one.ended_ns for one in kept] == [7]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_what_is_raised_inside_is_its_failure(error: type[BaseException]) -> None:
    """It ends with the class of the error but not its text, and the error propagates."""
    kept: Kept = []

    with pytest.raises(error), Tracer(ALWAYS_ON, kept.append).start(SHAPE):
        raise error("a secret")

    assert [(one.error_type, one.description) for one in kept] == [(error.__qualname__, "")]


def test_what_is_told_does_not_change_what_others_hold() -> None:
    """Attributes and links are added; those that came with the beginning stay whose they are."""
    kept: Kept = []
    given = {"a": 1, "b": 1}
    link = Link(SAMPLED, "origin")

    with Tracer(ALWAYS_ON, kept.append).start(SHAPE, attributes=given, links=[link]) as span:
        span.set_attributes({"b": 2})
        span.set_attributes({"c": 3})
        span.link(Link(UNSAMPLED, "previous_attempt"))

    assert given == {"a": 1, "b": 1}
    assert kept[0].attributes == {"a": 1, "b": 2, "c": 3}
    assert [one.relation for one in kept[0].links] == ["origin", "previous_attempt"]


def test_a_span_that_is_not_kept_still_has_ids_to_pass_on() -> None:
    """Others learn that it is not sampled, and its parts are it."""
    kept: Kept = []

    with Tracer(ALWAYS_OFF, kept.append).start(SHAPE, parent=SAMPLED) as span:
        part = span.child(SHAPE)
        span.set_attributes({"a": 1})
        span.link(Link(SAMPLED, "origin"))
        span.failed("late")

    assert (kept, span.is_recorded, part) == ([], False, span)
    assert span.context.trace_id == TRACE_ID
    assert span.context.span_id != SPAN_ID
    assert not span.context.is_sampled
    assert span.context.tracestate == "vendor=1"


def test_without_tracing_the_senders_context_is_passed_on_as_it_came() -> None:
    """A trace of other services is not split because we do not record."""
    tracer = Tracer(ALWAYS_ON, None)

    passed = tracer.start(SHAPE, parent=SAMPLED).child(SHAPE).context
    made = tracer.start(SHAPE).context

    assert passed == SAMPLED
    assert trace_context_of(made.traceparent, None) == made
    assert (tracer.is_on, tracer.keeps_trace(TRACE_ID)) == (False, False)


@pytest.mark.parametrize(("name", "is_kept"), [("always_on", True), ("always_off", False)])
def test_a_trace_id_tells_whether_it_is_kept(name: str, *, is_kept: bool) -> None:
    """A caller that names a trace in advance learns the sampler's decision."""
    tracer = Tracer(sampler_of({"OTEL_TRACES_SAMPLER": name}), lambda _: None)

    assert tracer.keeps_trace(TRACE_ID) is is_kept
