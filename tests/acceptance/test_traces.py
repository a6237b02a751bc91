"""The shape of traces, from a request to the last settlement, as the processes write them."""

import json
import os
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the command is what is tried
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from ringback import samples
from ringback.contract.telemetry.spans import all_spans
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.acceptance.whole import whole_ringback
from tests.support.session_nodes import TEMPLATE
from tests.support.trace_file import TracedSpan, outline, spans_in, spans_of

SUCCESS = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work
      handle services.processor.builtin.voice_calls.effects_of
      finish_attempts
      merge_voice_call
      ack webhooks:attempt.1:webhooks.work"""
DUPLICATE = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work
      handle services.processor.builtin.voice_calls.effects_of
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
process webhooks:attempt.{attempt}:webhooks.work !
  begin_attempts
  handle ringback.cli.demo.handlers.fail_on_demand !
  finish_attempts
  route {routed_to}
  reject webhooks:attempt.{attempt}:webhooks.work"""
RETRY = """\
process webhooks:attempt.2:webhooks.work
  begin_attempts
  handle ringback.cli.demo.handlers.fail_on_demand
  handle services.processor.builtin.voice_calls.effects_of
  finish_attempts
  ack webhooks:attempt.2:webhooks.work"""
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


@dataclass(frozen=True, slots=True)
class Traced:
    """What became of webhooks, by what they were to show."""

    path: Path
    jobs: dict[str, str]
    attempts: dict[str, list[asyncpg.Record]]

    def spans(self, name: str) -> list[TracedSpan]:
        return spans_of(self.path, self.jobs[name])

    def processes(self, name: str) -> list[TracedSpan]:
        return [span for span in self.spans(name) if span.kind == "CONSUMER"]

    def origin(self, name: str) -> tuple[str, str]:
        [publish] = [span for span in self.spans(name) if span.name.startswith("publish")]
        return publish.ids


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(
    broker: PrivateBroker, database: PrivateDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Traced]:
    """One run of the services, for all of these tests; they have stopped by now."""
    name = f"test_{uuid.uuid4().hex}"
    await broker.create_vhost(name)
    await database.create_database(name, TEMPLATE)
    folder = tmp_path_factory.mktemp("traces")
    path = folder / "traces.jsonl"
    async with whole_ringback(
        broker.amqp_url(name), database.url(name), folder, RINGBACK_TRACE_FILE=str(path)
    ) as whole:
        body = samples.sample("transcript")
        jobs = {"success": await whole.accepted(body)}
        await whole.settled([*jobs.values()])
        jobs |= {
            "duplicate": await whole.accepted(body),
            "retry": await whole.accepted(_demo(failUntilAttempt=2)),
            "schedule": await whole.accepted(_demo(failUntilAttempt=99)),
            "permanent": await whole.accepted(_demo(failForGood=True)),
        }
        await whole.settled([*jobs.values()])
        attempts = {
            name: await whole.database.fetch(
                "SELECT * FROM webhook_delivery_attempts WHERE delivery_id = $1 ORDER BY attempt",
                job_id,
            )
            for name, job_id in jobs.items()
        }
    yield Traced(path, jobs, attempts)
    await database.drop_database(name)
    await broker.delete_vhost(name)


def _demo(**asked: object) -> bytes:
    return json.dumps({"message": {"type": "ringback.demo", **asked}}).encode()


def test_a_success_is_one_trace(traced: Traced) -> None:
    """The request, the publish, the attempt and all its parts form one tree."""
    spans = traced.spans("success")

    assert outline(spans) == SUCCESS.splitlines()
    assert len({span.trace_id for span in spans}) == 1
    [process] = traced.processes("success")
    assert process.links == {"origin": traced.origin("success")}
    assert process.attributes["ringback.outcome"] == "completed"


def test_a_duplicate_says_of_what(traced: Traced) -> None:
    """Its handler ran, its effects did not, and it names the first."""
    assert outline(traced.spans("duplicate")) == DUPLICATE.splitlines()
    [process] = traced.processes("duplicate")
    assert process.attributes["ringback.outcome"] == "duplicate"
    assert process.attributes["ringback.duplicate_of"] == traced.jobs["success"]


def test_a_retry_is_a_trace_of_its_own(traced: Traced) -> None:
    """It links to the publish and to the previous attempt, and reports success."""
    first, second = traced.processes("retry")

    assert outline(traced.spans("retry")) == [*FAILURE.splitlines(), *RETRY.splitlines()]
    assert first.trace_id != second.trace_id
    assert second.links == {"origin": traced.origin("retry"), "previous_attempt": first.ids}
    assert (first.attributes["error.type"], first.attributes["ringback.outcome"]) == (
        "DemoFailure",
        "failed",
    )


def test_a_schedule_ends_among_the_dead_letters(traced: Traced) -> None:
    """Each attempt and the dead letter begin a trace, and each links to the one before."""
    attempts = traced.processes("schedule")

    assert outline(traced.spans("schedule")) == [
        *FAILURE.splitlines(),
        *FAILURE_AGAIN.format(attempt=2, routed_to="webhooks.retry.2.400ms").splitlines(),
        *FAILURE_AGAIN.format(attempt=3, routed_to="webhooks.retry.3.800ms").splitlines(),
        *FAILURE_AGAIN.format(attempt=4, routed_to="webhooks.dlq").splitlines(),
        *DEAD_LETTER.format(exchange="webhooks.failed", attempt=4).splitlines(),
    ]
    assert len({span.trace_id for span in attempts}) == len(attempts) == 5
    for before, after in pairwise(attempts):
        assert after.links == {
            "origin": traced.origin("schedule"),
            "previous_attempt": before.ids,
        }


def test_a_permanent_failure_is_a_dead_letter_at_once(traced: Traced) -> None:
    """It moves with our own publish, and the dead letter links to its attempt."""
    attempt, dead_letter = traced.processes("permanent")

    assert outline(traced.spans("permanent")) == [
        *PERMANENT.splitlines(),
        *DEAD_LETTER.format(exchange="webhooks.dead", attempt=1).splitlines(),
    ]
    assert dead_letter.links == {
        "origin": traced.origin("permanent"),
        "previous_attempt": attempt.ids,
    }


@pytest.mark.parametrize("name", ["success", "duplicate", "retry", "schedule", "permanent"])
def test_the_log_holds_the_span_of_each_attempt(traced: Traced, name: str) -> None:
    """From a row of the log to its span, and back by the number of the attempt."""
    spans = {
        (int(span.attributes["ringback.attempt"]), *span.ids) for span in traced.processes(name)
    }

    assert traced.attempts[name]
    for row in traced.attempts[name]:
        assert (row["attempt"], row["trace_id"], row["span_id"]) in spans


def test_every_span_is_declared_and_of_a_webhook(traced: Traced) -> None:
    """Each names its service, and its name, kind and attributes are declared."""
    for span in spans_in(traced.path):
        assert span.attributes["ringback.job_id"] in traced.jobs.values(), span
        assert [spec for spec in all_spans() if span.is_of(spec)], span


def test_the_command_tells_a_webhook_from_its_spans(traced: Traced) -> None:
    """What the services wrote is a story: each attempt, the waits between them, and the end."""
    told = subprocess.run(
        [
            *[sys.executable, "-m", "ringback.cli", "trace", traced.jobs["schedule"]],
            *["--file", str(traced.path)],
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "140"},
    ).stdout

    assert "4 attempts, dead letter" in told
    places = [told.index(f"attempt {number} ") for number in (1, 2, 3, 4)]
    assert places == sorted(places)
    assert told.index("record_dead_letters") > places[-1]
    assert told.count("DemoFailure") >= 4
