"""Spans of attempts that were interrupted, repeated or quarantined."""

from pathlib import Path

import pytest

from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, envelope_of, scripted
from tests.support.eventually import eventually
from tests.support.trace_file import TracedSpan, spans_of


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


@pytest.mark.slow
async def test_after_a_crash_the_retry_links_to_the_attempt_before(
    stage: Stage, start: Starter, trace_file: Path, tmp_path: Path
) -> None:
    """Killed in its second attempt, it leaves no span of it; the next process links as usual."""
    first = start(stage.place, trace_file=str(trace_file))
    published = envelope_of(b"{}").trace
    gate = tmp_path / "gate"
    event = scripted("transaction", first_steps=["raise RuntimeError"], gate=str(gate))
    job_id = await stage.send(event, trace=published)
    await stage.until_run(job_id, times=2)

    first.kill()
    gate.touch()
    start(stage.place, trace_file=str(trace_file))
    await stage.until(job_id, "completed")

    one, two = await stage.attempts(job_id)

    def reported() -> list[TracedSpan]:
        spans = [span for span in spans_of(trace_file, job_id) if span.kind == "CONSUMER"]
        return [span for span in spans if span.attributes["ringback.attempt"] == "2"]

    [made] = await eventually(reported)
    assert made.ids == (two["trace_id"], two["span_id"])
    assert made.attributes["ringback.deliveries_before"] == "1"
    assert not made.parent_id
    assert made.links == {
        "origin": (published.trace_id, published.span_id),
        "previous_attempt": (one["trace_id"], one["span_id"]),
    }


async def test_a_manual_retry_links_to_its_request_and_to_the_retried_webhook(
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
