"""The content of a message's spans, and where they are sent."""

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from ringback.contract.status import AttemptOutcome
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event
from ringback.runtime.tracing import Tracer
from ringback.runtime.tracing.span import RecordedSpan
from services.processor.attempt.run_handlers import run_handlers
from services.processor.consume.message import Message
from services.processor.spans import HandlerSpan, MessageSpan, Spans, shared_query
from tests.unit.processor.events import ENVELOPE, JOB, event, message

BEFORE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
JOB_ID = "ringback.job_id"


@pytest.fixture
def kept() -> list[RecordedSpan]:
    return []


def begun(kept: list[RecordedSpan], came: Message | None = None) -> MessageSpan:
    return Spans(Tracer(ALWAYS_ON, kept.append)).begin(came or message(), "webhooks.work")


def test_with_the_tracer_off_the_context_is_passed_on() -> None:
    """Log lines of a webhook share the trace id of its message, at any attempt."""
    spans = Spans(Tracer(ALWAYS_ON, None))

    for key in ("attempt.1", "attempt.2"):
        assert spans.begin(message(routing_key=key), "webhooks.work").context == ENVELOPE.trace


def test_a_trace_that_is_not_kept_has_ids_of_its_own() -> None:
    """The log needs them to distinguish attempts, and called services sample alike."""
    spans = Spans(Tracer(ALWAYS_OFF, print))

    first = spans.begin(message(), "webhooks.work").context
    later = spans.begin(message(routing_key="attempt.2"), "webhooks.work").context

    assert first.trace_id == ENVELOPE.trace.trace_id != later.trace_id
    assert len({ENVELOPE.trace.span_id, first.span_id, later.span_id}) == 3
    assert not first.is_sampled
    assert not later.is_sampled


def test_a_foreign_key_is_not_in_the_name_of_a_span(
    kept: list[RecordedSpan],
) -> None:
    """There are few names, whatever others publish."""
    with begun(kept, Message(b"x", "any key", None, None, {}, exchange="webhooks")):
        pass

    [span] = kept
    assert span.shape.name == "process webhooks:webhooks.work"
    assert JOB_ID not in span.attributes


def test_an_error_inside_ends_the_span_as_failed(kept: list[RecordedSpan]) -> None:
    """This includes unexpected errors."""
    with pytest.raises(KeyError), begun(kept):
        raise KeyError

    assert [span.error_type for span in kept] == ["KeyError"]


def test_an_ended_span_does_not_change(kept: list[RecordedSpan]) -> None:
    """A commit may outlive the attempt that asked for it; an exported span is unchanged."""
    with begun(kept) as span:
        pass
    attributes = dict(kept[0].attributes)

    span.recorded(AttemptOutcome.FAILED, is_fresh=True)
    span.failed("late")
    span.link_previous(BEFORE)

    assert kept[0].attributes == attributes
    assert not kept[0].error_type
    assert [link.relation for link in kept[0].links] == ["origin"]


def test_the_attempt_before_is_linked_once(kept: list[RecordedSpan]) -> None:
    """A commit whose answer was lost is repeated, and looks up again."""
    with begun(kept) as span:
        span.link_previous(BEFORE)
        span.link_previous(ENVELOPE.trace)

    assert [(link.relation, link.context) for link in kept[0].links[1:]] == [
        ("previous_attempt", BEFORE)
    ]


def test_each_webhook_has_its_own_span_of_a_shared_statement(kept: list[RecordedSpan]) -> None:
    """They have one time and one batch size, and each is a child of its own message."""
    one, two = begun(kept), begun(kept, message(routing_key="attempt.2"))

    with shared_query("finish_attempts", [one, two]):
        pass

    assert [query.shape.name for query in kept] == ["finish_attempts"] * 2
    assert [query.parent_id for query in kept] == [one.context.span_id, two.context.span_id]
    assert {query.attributes["db.operation.batch.size"] for query in kept} == {2}
    assert {query.attributes[JOB_ID] for query in kept} == {str(JOB)}
    assert len({(query.began_ns, query.ended_ns) for query in kept}) == 1


def test_a_failed_statement_has_the_type_of_its_error(kept: list[RecordedSpan]) -> None:
    """A single webhook has no batch size."""
    with pytest.raises(TimeoutError), shared_query("begin_attempts", [begun(kept)]):
        raise TimeoutError

    [query] = kept
    assert query.error_type == "TimeoutError"
    assert "db.operation.batch.size" not in query.attributes


async def test_a_handler_gets_the_context_of_its_own_span(kept: list[RecordedSpan]) -> None:
    """The services that it calls become its children through the context that it passes on."""
    seen: list[TraceContext] = []

    async def calls(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
        seen.append(event.trace)

    span = begun(kept)
    await run_handlers([calls, calls], event(), timeout_s=5, span=span)

    assert [trace.span_id for trace in seen] == [handled.span_id for handled in kept]
    assert {handled.parent_id for handled in kept} == {span.context.span_id}


def test_the_first_end_of_a_handler_counts(kept: list[RecordedSpan]) -> None:
    """A handler that was cut at the timeout is cancelled afterwards, and ends a second time."""
    handling = HandlerSpan(begun(kept))
    handling.begin(test_the_first_end_of_a_handler_counts)

    handling.end("timeout")
    handling.end("CancelledError")

    assert [span.error_type for span in kept] == ["timeout"]
