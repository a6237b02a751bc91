"""The webhooks of `ringback demo`: their expected results, and their states in the log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Self
from uuid import UUID

import asyncpg
import orjson

from ringback import samples
from ringback.cli.demo.handlers import DEMO_TYPE
from ringback.cli.demo.questions import QUESTIONS
from ringback.cli.load.payload_template import sent_at_ms, shift_timestamps, template_of
from ringback.contract.event import Event, read_event
from ringback.contract.identity import JobId, created_at
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import TRANSITIONS, Status
from ringback.local.console import printable
from ringback.runtime.postgres.queries import load


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStep:
    """A webhook, its expected result, and an explanation."""

    event_type: str
    shows: str
    body: bytes
    expected_status: Status
    attempts: int
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySnapshot:
    """The state of a webhook in the delivery log; `now` is the database's time."""

    job_id: UUID
    org_id: UUID
    status: Status
    attempts: int
    max_attempts: int
    last_attempt_at: datetime | None
    error: str | None
    now: datetime

    @classmethod
    def of(cls, row: asyncpg.Record, max_attempts: int) -> Self:
        """A row of the delivery log."""
        error = f"{row['error_class']}: {row['error_message']}" if row["error_class"] else None
        return cls(
            job_id=UUID(bytes=row["id"].bytes),
            org_id=row["org_id"],
            status=Status(row["status"]),
            attempts=row["attempts"],
            # The gateway does not know the maximum; the first attempt writes it.
            max_attempts=row["max_attempts"] or max_attempts,
            last_attempt_at=row["last_attempt_at"],
            error=printable(error) if error else None,
            now=row["now"],
        )

    @property
    def has_ended(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def elapsed_s(self) -> float:
        """Seconds from its arrival to now, or to its last attempt if it has ended."""
        ended = self.last_attempt_at if self.has_ended else None
        return ((ended or self.now) - created_at(JobId(self.job_id))).total_seconds()

    def next_attempt_in_s(self, schedule: RetrySchedule) -> float | None:
        """Seconds until the next attempt, if there is one."""
        if self.status is not Status.FAILED or self.last_attempt_at is None:
            return None
        step = schedule.step_after(Attempt(self.attempts))
        if step is None:
            return None
        waited_s = (self.now - self.last_attempt_at).total_seconds()
        return max(0.0, step.delay_ms / 1000 - waited_s)

    def matches(self, step: DemoStep) -> bool:
        return self.status is step.expected_status and (
            self.status is Status.DUPLICATE or self.attempts == step.attempts
        )


async def read_snapshots(
    connection: asyncpg.Connection, job_ids: Sequence[str], max_attempts: int
) -> dict[str, DeliverySnapshot]:
    """Read the states by job id. The gateway writes rows in batches, so some may be missing."""
    if not job_ids:
        return {}
    ids = sorted(UUID(job_id) for job_id in job_ids)
    rows = await connection.fetch(
        load("ringback.cli.demo", "demo_deliveries.sql"), ids, ids[0], ids[-1]
    )
    return {str(row["id"]): DeliverySnapshot.of(row, max_attempts) for row in rows}


_LAST_EVENT = "end-of-call-report"

_MEANING = {
    "status-update": "the call's state changes",
    "transcript": "a transcript",
    "hang": "the assistant is late",
    "end-of-call-report": "the call is over",
}


def demo_steps(schedule: RetrySchedule, *, run: str, now_ms: int) -> list[DemoStep]:
    """All steps in order. `run` is 16 hex digits and makes the events different from others."""
    return list(
        chain(
            _call(run, now_ms),
            _duplicate(run, now_ms),
            _troubled(schedule, run, now_ms),
        )
    )


def call_id_of(steps: list[DemoStep]) -> str:
    """The id of the demo's call."""
    event = read_event(steps[0].body)
    assert isinstance(event, Event)
    assert event.call_id is not None
    return event.call_id


def _call(run: str, now_ms: int) -> Iterator[DemoStep]:
    """The samples as one call that ends now, in the order of a real call, without its questions."""
    names = [name for name in samples.call_names() if name not in QUESTIONS]
    recorded = sorted((samples.sample(name) for name in names), key=sent_at_ms)
    for body in recorded:
        event = read_event(body)
        assert isinstance(event, Event)
        status = event.message.get("status")
        meaning = _MEANING.get(event.type, "part of the call")
        yield DemoStep(
            event_type=event.type,
            shows=f"the call is {status}" if isinstance(status, str) else meaning,
            body=_of_this_run(body, recorded[-1], run, now_ms),
            expected_status=Status.COMPLETED,
            attempts=1,
            explanation="It was on disk before the gateway returned 200. The processor ran its "
            "handler, and committed the handler's changes together with the status “completed”.",
        )


def _duplicate(run: str, now_ms: int) -> Iterator[DemoStep]:
    report = samples.sample(_LAST_EVENT)
    yield DemoStep(
        event_type=_LAST_EVENT,
        shows="the report, sent again",
        body=_of_this_run(report, report, run, now_ms),
        expected_status=Status.DUPLICATE,
        attempts=1,
        explanation="Vapi sends an event again if it saw no response. This one was accepted and "
        "logged as a duplicate; no handler ran.",
    )


def _troubled(schedule: RetrySchedule, run: str, now_ms: int) -> Iterator[DemoStep]:
    failures = min(2, len(schedule.steps))
    last = schedule.max_attempts
    waits = ", then ".join(step.label for step in schedule.steps[:failures])
    yield DemoStep(
        event_type=DEMO_TYPE,
        shows=f"fails {_times(failures)}, then works",
        body=_demo_body(run, 1, now_ms, failUntilAttempt=failures + 1),
        expected_status=Status.COMPLETED,
        attempts=failures + 1,
        explanation=f"Its handler failed {_times(failures)}. Each time it waited in a retry "
        f"queue of the broker ({waits or 'no delay'}). The next attempt succeeded.",
    )
    yield DemoStep(
        event_type=DEMO_TYPE,
        shows="fails at every attempt",
        body=_demo_body(run, 2, now_ms, failUntilAttempt=last + 1),
        expected_status=Status.DEAD_LETTER,
        attempts=last,
        explanation=f"All {last} attempts failed, so it became a dead letter. It is kept with its "
        "payload and errors until someone retries or discards it.",
    )
    yield DemoStep(
        event_type=DEMO_TYPE,
        shows="fails permanently",
        body=_demo_body(run, 3, now_ms, failForGood=True),
        expected_status=Status.DEAD_LETTER,
        attempts=1,
        explanation="Its handler raised PermanentFailure, because no retry can succeed. So it "
        "became a dead letter at once.",
    )


def _of_this_run(body: bytes, last_body: bytes, run: str, now_ms: int) -> bytes:
    """The same event in a new call; all samples still share a call id."""
    shifted = shift_timestamps(body, now_ms - sent_at_ms(last_body))
    return template_of(shifted).copy(0, run=run, start_ms=sent_at_ms(shifted))


def _demo_body(run: str, number: int, now_ms: int, **options: object) -> bytes:
    message = {
        "type": DEMO_TYPE,
        "timestamp": now_ms,
        "call": {"id": f"demo-{run}-{number}"},
        **options,
    }
    return orjson.dumps({"message": message})


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
