"""The content of a message's spans, and where they are sent."""

import asyncio
import logging
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.attempt.run_handlers import run_handlers
from ringback.services.processor.consume.message import Message
from ringback.services.processor.spans import HandlerSpan, MessageSpan, Spans, shared_query
from tests.support.kept_spans import KeptSpans, error_type_of
from tests.unit.processor.events import ENVELOPE, JOB, event, message

BEFORE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
JOB_ID = "ringback.job_id"


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


def begun(kept: KeptSpans, came: Message | None = None) -> MessageSpan:
    return Spans(kept.tracer).begin(came or message(), "webhooks.work")


def attributes_of(span: ReadableSpan) -> Mapping[str, object]:
    return span.attributes or {}


def span_id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def parent_id_of(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"


def links_of(span: ReadableSpan) -> list[tuple[object, str]]:
    return [
        ((link.attributes or {})["ringback.link"], f"{link.context.span_id:016x}")
        for link in span.links
    ]


def test_with_the_tracer_off_the_context_is_passed_on() -> None:
    """Log lines of a webhook share the trace id of its message, at any attempt."""
    spans = Spans(NO_TRACES)

    for key in ("attempt.1", "attempt.2"):
        assert spans.begin(message(routing_key=key), "webhooks.work").context == ENVELOPE.trace


def test_a_trace_that_is_not_kept_has_ids_of_its_own() -> None:
    """The log needs them to distinguish attempts, and called services sample alike."""
    spans = Spans(KeptSpans(ALWAYS_OFF).tracer)

    first = spans.begin(message(), "webhooks.work").context
    later = spans.begin(message(routing_key="attempt.2"), "webhooks.work").context

    assert first.trace_id == ENVELOPE.trace.trace_id != later.trace_id
    assert len({ENVELOPE.trace.span_id, first.span_id, later.span_id}) == 3
    assert not first.is_sampled
    assert not later.is_sampled


def test_a_foreign_key_is_not_in_the_name_of_a_span(kept: KeptSpans) -> None:
    """There are few names, whatever others publish."""
    with begun(kept, Message(b"x", "any key", None, None, {}, exchange="webhooks")):
        pass

    [span] = kept.all
    assert span.name == "process webhooks:webhooks.work"
    assert JOB_ID not in attributes_of(span)


def test_an_ended_span_does_not_change(kept: KeptSpans, caplog: pytest.LogCaptureFixture) -> None:
    """A commit may outlive the attempt that asked for it; an exported span is unchanged."""
    with begun(kept) as span:
        pass
    before = kept.all[0].to_json()

    with caplog.at_level(logging.WARNING):
        span.recorded(AttemptOutcome.FAILED, is_fresh=True)
        span.failed("late")
        span.link_previous(BEFORE)

    assert kept.all[0].to_json() == before
    assert [relation for relation, _ in links_of(kept.all[0])] == ["origin"]
    assert not caplog.records


def test_a_wait_is_on_the_span_of_its_attempt(kept: KeptSpans) -> None:
    """Without a delay if something else releases the webhook."""
    for wait in (Wait(WaitReason.RETRY, 90_000), Wait(WaitReason.ORDER, None)):
        with begun(kept) as span:
            span.waits(wait)

    retry, order = map(attributes_of, kept.all)
    assert (retry["ringback.wait_reason"], retry["ringback.retry_delay_ms"]) == ("retry", 90_000)
    assert order["ringback.wait_reason"] == "order"
    assert "ringback.retry_delay_ms" not in order


def test_the_attempt_before_is_linked_once(kept: KeptSpans) -> None:
    """A commit whose answer was lost is repeated, and looks up again."""
    with begun(kept) as span:
        span.link_previous(BEFORE)
        span.link_previous(ENVELOPE.trace)

    assert links_of(kept.all[0])[1:] == [("previous_attempt", BEFORE.span_id)]


def test_each_webhook_has_its_own_span_of_a_shared_statement(kept: KeptSpans) -> None:
    """They have one time and one batch size, and each is a child of its own message."""
    one, two = begun(kept), begun(kept, message(routing_key="attempt.2"))

    with shared_query("finish_attempts", [one, two]):
        pass

    assert [query.name for query in kept.all] == ["finish_attempts"] * 2
    assert [parent_id_of(query) for query in kept.all] == [one.context.span_id, two.context.span_id]
    assert {attributes_of(query)["db.operation.batch.size"] for query in kept.all} == {2}
    assert {attributes_of(query)[JOB_ID] for query in kept.all} == {str(JOB)}
    assert len({(query.start_time, query.end_time) for query in kept.all}) == 1


def test_a_failed_statement_has_the_type_of_its_error(kept: KeptSpans) -> None:
    """A single webhook has no batch size."""
    with pytest.raises(TimeoutError), shared_query("begin_attempts", [begun(kept)]):
        raise TimeoutError

    [query] = kept.all
    assert error_type_of(query) == "TimeoutError"
    assert "db.operation.batch.size" not in attributes_of(query)


async def test_a_handler_runs_in_its_own_span(kept: KeptSpans) -> None:
    """What it calls nests there, by the context that it passes on or by the current span."""
    seen: list[TraceContext] = []
    their_own = kept.provider.get_tracer("theirs")

    async def calls(event: Event) -> None:
        seen.append(event.trace)
        with their_own.start_as_current_span("theirs"):
            await asyncio.sleep(0)

    span = begun(kept)
    await run_handlers([calls, calls], event(), timeout_s=60, watch=HandlerSpan(span))

    theirs = [one for one in kept.all if one.name == "theirs"]
    handled = [one for one in kept.all if one.name != "theirs"]
    assert [trace.span_id for trace in seen] == [span_id_of(one) for one in handled]
    assert [parent_id_of(one) for one in theirs] == [span_id_of(one) for one in handled]
    assert {parent_id_of(one) for one in handled} == {span.context.span_id}


def test_the_first_end_of_a_handler_counts(
    kept: KeptSpans, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that was cut at the timeout is cancelled afterwards, and ends a second time."""
    handling = HandlerSpan(begun(kept))
    handling.begin(test_the_first_end_of_a_handler_counts)

    with caplog.at_level(logging.WARNING):
        handling.end("timeout")
        handling.end("CancelledError")

    assert [error_type_of(span) for span in kept.all] == ["timeout"]
    assert not caplog.records
