"""The shape of traces, from a request to the last settlement, as the processes write them."""

from itertools import pairwise

import pytest

from tests.acceptance.telemetry_run import Emitted
from tests.support.trace_file import TracedSpan, outline, spans_of
from tests.unit.cli.command import Ringback

SUCCESS = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work
      handle ringback.services.processor.builtin.voice_calls.call_update_of
      finish_attempts
      ack webhooks:attempt.1:webhooks.work"""
FAILURE = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work !
      begin_attempts
      handle ringback.cli.demo.handlers.fail_on_demand !
      finish_attempts
      route webhooks.retry.1.200ms
      reject webhooks:attempt.1:webhooks.work"""
FAILURE_AGAIN = """\
process webhooks:attempt.{attempt}:webhooks.due !
  begin_attempts
  handle ringback.cli.demo.handlers.fail_on_demand !
  finish_attempts
  route {routed_to}
  reject webhooks:attempt.{attempt}:webhooks.due"""
RETRY = """\
process webhooks:attempt.2:webhooks.due
  begin_attempts
  handle ringback.cli.demo.handlers.fail_on_demand
  handle ringback.services.processor.builtin.voice_calls.call_update_of
  finish_attempts
  ack webhooks:attempt.2:webhooks.due"""
PERMANENT = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work !
      begin_attempts
      handle ringback.cli.demo.handlers.fail_on_demand !
      finish_attempts
      route webhooks.dlq
      ack webhooks:attempt.1:webhooks.work"""
DEAD_LETTER = """\
process {exchange}:attempt.{attempt}:webhooks.dlq
  record_dead_letters
  ack {exchange}:attempt.{attempt}:webhooks.dlq"""


def processes(emitted: Emitted, name: str) -> list[TracedSpan]:
    return [span for span in spans(emitted, name) if span.kind == "CONSUMER"]


def spans(emitted: Emitted, name: str) -> list[TracedSpan]:
    return spans_of(emitted.trace_file, emitted.jobs[name])


def origin(emitted: Emitted, name: str) -> tuple[str, str]:
    [publish] = [span for span in spans(emitted, name) if span.name.startswith("publish")]
    return publish.ids


def test_a_success_is_one_trace(emitted: Emitted) -> None:
    """The request, the publish, the attempt and all its parts form one tree."""
    found = spans(emitted, "success")

    assert outline(found) == SUCCESS.splitlines()
    assert len({span.trace_id for span in found}) == 1
    [process] = processes(emitted, "success")
    assert process.links == {"origin": origin(emitted, "success")}
    assert process.attributes["ringback.outcome"] == "completed"


def test_a_duplicate_names_the_first(emitted: Emitted) -> None:
    """Its handler ran, its effects did not, and it names the first."""
    assert outline(spans(emitted, "duplicate")) == SUCCESS.splitlines()
    [process] = processes(emitted, "duplicate")
    assert process.attributes["ringback.outcome"] == "duplicate"
    assert process.attributes["ringback.duplicate_of"] == emitted.jobs["success"]


def test_a_retry_is_a_trace_of_its_own(emitted: Emitted) -> None:
    """It links to the publish and to the previous attempt, and reports success."""
    first, second = processes(emitted, "retry")

    assert outline(spans(emitted, "retry")) == [*FAILURE.splitlines(), *RETRY.splitlines()]
    assert first.trace_id != second.trace_id
    assert second.links == {"origin": origin(emitted, "retry"), "previous_attempt": first.ids}
    assert (first.attributes["error.type"], first.attributes["ringback.outcome"]) == (
        "DemoFailure",
        "failed",
    )


def test_an_exhausted_schedule_ends_as_a_dead_letter(emitted: Emitted) -> None:
    """Each attempt and the dead letter begin a trace, and each links to the one before."""
    attempts = processes(emitted, "schedule")

    assert outline(spans(emitted, "schedule")) == [
        *FAILURE.splitlines(),
        *FAILURE_AGAIN.format(attempt=2, routed_to="webhooks.retry.2.400ms").splitlines(),
        *FAILURE_AGAIN.format(attempt=3, routed_to="webhooks.retry.3.800ms").splitlines(),
        *FAILURE_AGAIN.format(attempt=4, routed_to="webhooks.dlq").splitlines(),
        *DEAD_LETTER.format(exchange="webhooks.failed", attempt=4).splitlines(),
    ]
    assert len({span.trace_id for span in attempts}) == len(attempts) == 5
    for before, after in pairwise(attempts):
        assert after.links == {
            "origin": origin(emitted, "schedule"),
            "previous_attempt": before.ids,
        }


def test_a_permanent_failure_is_a_dead_letter_at_once(emitted: Emitted) -> None:
    """It moves with our own publish, and the dead letter links to its attempt."""
    attempt, dead_letter = processes(emitted, "permanent")

    assert outline(spans(emitted, "permanent")) == [
        *PERMANENT.splitlines(),
        *DEAD_LETTER.format(exchange="webhooks.dead", attempt=1).splitlines(),
    ]
    assert dead_letter.links == {
        "origin": origin(emitted, "permanent"),
        "previous_attempt": attempt.ids,
    }


def test_each_attempt_in_the_log_names_its_span(emitted: Emitted) -> None:
    """From a row of the log to its span, and back by the number of the attempt."""
    for name in ("success", "duplicate", "retry", "schedule", "permanent"):
        found = {
            (int(one.attributes["ringback.attempt"]), *one.ids) for one in processes(emitted, name)
        }

        assert emitted.attempts[name]
        for row in emitted.attempts[name]:
            assert (row["attempt"], row["trace_id"], row["span_id"]) in found


def test_the_command_shows_a_webhook_by_its_spans(
    emitted: Emitted, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows each attempt, the waits between them, and the end."""
    monkeypatch.setenv("COLUMNS", "140")
    ended = Ringback(capsys)("trace", emitted.jobs["schedule"], "--file", str(emitted.trace_file))
    shown = ended.out

    assert ended.status == 0
    assert "4 attempts, dead letter" in shown
    places = [shown.index(f"attempt {number} ") for number in (1, 2, 3, 4)]
    assert places == sorted(places)
    assert shown.index("record_dead_letters") > places[-1]
    assert shown.count("DemoFailure") >= 4
