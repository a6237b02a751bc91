"""Spans of attempts that were interrupted, repeated or quarantined."""

from pathlib import Path

import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.restarted import Restarted
from tests.integration.processor.stage import Stage, envelope_of, scripted
from tests.support.eventually import eventually
from tests.support.trace_file import TracedSpan, outline, spans_of

QUARANTINE = """\
process webhooks:attempt.1:webhooks.work
  route webhooks.quarantine
  ack webhooks:attempt.1:webhooks.work
process webhooks.quarantine
  begin_attempts
  handle tests.integration.processor.handlers_scripted.plain
  handle services.processor.builtin.voice_calls.effects_of
  finish_attempts
  ack webhooks.quarantine"""


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    return tmp_path / "traces.jsonl"


async def processes(path: Path, job_id: object, count: int) -> list[TracedSpan]:
    """The spans of a webhook's messages, once there are this many."""

    def there() -> list[TracedSpan] | None:
        found = [one for one in spans_of(path, job_id) if one.kind == "CONSUMER"]
        assert len(found) == count, [one.name for one in found]
        return found

    return await eventually(there, deadline_s=30)


async def test_after_a_crash_the_retry_still_knows_the_attempt_before(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """Killed in its second attempt, it leaves no span of it; the next process links as usual."""
    first = start(stage.place, trace_file=str(trace_file))
    published = envelope_of(b"{}").trace
    job_id = await stage.send(scripted("plain", fail_times=1, sleep_s=1), trace=published)
    await stage.until_run(job_id, times=2)

    first.kill()
    start(stage.place, trace_file=str(trace_file))
    await stage.until(job_id, "completed")

    one, two = await stage.attempts(job_id)

    def told() -> list[TracedSpan]:
        spans = [span for span in spans_of(trace_file, job_id) if span.kind == "CONSUMER"]
        return [span for span in spans if span.attributes["ringback.attempt"] == "2"]

    [made] = await eventually(told)
    assert made.ids == (two["trace_id"], two["span_id"])
    assert made.attributes["ringback.deliveries_before"] == "1"
    assert not made.parent_id
    assert made.links == {
        "origin": (published.trace_id, published.span_id),
        "previous_attempt": (one["trace_id"], one["span_id"]),
    }


async def test_a_redelivered_first_attempt_stays_in_its_trace(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """Both spans are children of the publish; the second shows that it only repeated."""
    start(stage.place, trace_file=str(trace_file))
    body, job_id, published = b'{"message":{"type":"other"}}', new_job_id(), envelope_of(b"").trace
    for _ in range(2):
        await stage.send(body, job_id=job_id, trace=published)
        await stage.until(job_id, "completed")
        await stage.until_empty(WORK_QUEUE)

    first, again = await processes(trace_file, job_id, 2)

    assert first.parent_id == again.parent_id == published.span_id
    assert first.trace_id == again.trace_id == published.trace_id
    assert "ringback.repeated" not in first.attributes
    assert again.attributes["ringback.repeated"] is True
    assert not again.is_error


async def test_a_retry_by_a_person_links_to_its_request_and_to_what_was_retried(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """It begins a trace, though the attempt is its first."""
    start(stage.place, trace_file=str(trace_file))
    original = await stage.send(scripted("plain", permanent="no use"))
    await stage.until(original, "dead_letter")
    requested = envelope_of(b"").trace
    job_id = await stage.send(b'{"message":{"type":"x"}}', retry_of=original, trace=requested)

    [retried] = await processes(trace_file, job_id, 1)

    [last] = await stage.attempts(original)
    assert not retried.parent_id
    assert retried.attributes["ringback.retry_of"] == str(original)
    assert retried.links == {
        "retry_request": (requested.trace_id, requested.span_id),
        "previous_attempt": (last["trace_id"], last["span_id"]),
    }


async def test_our_stop_ends_the_spans_of_what_it_cuts_short(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """The attempt, which does not count, and its handler are marked as cancelled."""
    processor = start(stage.place, trace_file=str(trace_file), drain_timeout_s="0.2")
    await processor.ready()
    job_id = await stage.send(scripted("plain", sleep_s=60))
    await stage.until_run(job_id)

    processor.terminate()
    assert await processor.ended() == 0

    spans = {one.kind: one for one in spans_of(trace_file, job_id)}
    assert spans["CONSUMER"].attributes["error.type"] == "CancelledError"
    assert spans["INTERNAL"].attributes["error.type"] == "CancelledError"
    assert await stage.attempts(job_id) == []


async def test_a_handler_that_is_cut_at_the_timeout_says_so(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """Its span ends at its timeout, though it ignores its cancellation."""
    start(stage.place, trace_file=str(trace_file), attempt_timeout_s="0.3")
    job_id = await stage.send(scripted("plain", stubborn=True))

    first = (await processes(trace_file, job_id, 4))[0]

    [handled, *_] = [one for one in spans_of(trace_file, job_id) if one.kind == "INTERNAL"]
    assert handled.attributes["error.type"] == first.attributes["error.type"] == "timeout"
    assert handled.ended_ns - handled.began_ns < 1_000_000_000


async def test_a_quarantine_moves_aside_in_its_trace(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """The spans of the killed processes are lost; the quarantine has a span."""
    processor = Restarted(start, stage, trace_file=str(trace_file))
    job_id = await stage.send(scripted("plain", crash_times=3))

    await processor.until(job_id, "completed")

    def told() -> list[str] | None:
        lines = outline(spans_of(trace_file, job_id))
        return lines if len(lines) >= len(QUARANTINE.splitlines()) else None

    assert await eventually(told) == QUARANTINE.splitlines()


async def test_what_is_no_webhook_is_traced_to_its_burial(
    stage: Stage, start: Starter, trace_file: Path
) -> None:
    """Two roots: one that moves it, and one that records it under its own id."""
    start(stage.place, trace_file=str(trace_file))
    await stage.publish(b"what somebody else published")
    await stage.until_waiting(DEAD_LETTER_QUEUE, 0)

    async def assigned() -> object:
        return await stage.database.fetchval("SELECT id FROM webhook_delivery_log")

    job_id = await eventually(assigned)
    [buried] = await processes(trace_file, job_id, 1)

    assert buried.links == {}
    names = [one.name for one in spans_of(trace_file, job_id)]
    assert names == [
        "process webhooks.dead:attempt.1:webhooks.dlq",
        "record_dead_letters",
        "ack webhooks.dead:attempt.1:webhooks.dlq",
    ]
