import io
from datetime import timedelta
from uuid import UUID

import pytest
from rich.console import Console

from ringback import samples
from ringback.cli.demo.answers import answer_to
from ringback.cli.demo.handlers import DemoFailure, fail_on_demand
from ringback.cli.demo.questions import QUESTIONS
from ringback.cli.demo.steps import DeliverySnapshot, DemoStep, call_id_of, demo_steps
from ringback.cli.demo.view import explanations
from ringback.contract.event import Event as ReadEvent
from ringback.contract.event import read_event
from ringback.contract.identity import created_at, new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.handlers import Event, PermanentFailure
from ringback.services.gateway.questions.answers import mistakes_in
from tests.unit.cli.test_load import key_of
from tests.unit.processor.events import event

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
NOW_MS = 1_800_000_000_000


def steps_of(
    schedule: RetrySchedule = SCHEDULE, *, run: str = "0123456789abcdef"
) -> list[DemoStep]:
    return demo_steps(schedule, run=run, now_ms=NOW_MS)


def read(step: DemoStep) -> ReadEvent:
    found = read_event(step.body)
    assert isinstance(found, ReadEvent)
    return found


def event_of(step: DemoStep, attempt: int) -> Event:
    message = read(step)
    return event(type=message.type, message=message.message, attempt=attempt)


def snapshot(status: Status, attempts: int, *, since_attempt_s: float = 0.0) -> DeliverySnapshot:
    job_id = new_job_id()
    return DeliverySnapshot(
        job_id=job_id,
        org_id=UUID(int=1),
        status=status,
        attempts=attempts,
        max_attempts=4,
        last_attempt_at=created_at(job_id) + timedelta(seconds=6),
        error=None,
        now=created_at(job_id) + timedelta(seconds=6 + since_attempt_s),
    )


def test_the_samples_are_one_call_that_ends_now() -> None:
    """All events of the call have its id, and are in the order of their times."""
    steps = steps_of()

    call = [found for step in steps if (found := read(step)).call_id == call_id_of(steps)]
    times = [one.message["timestamp"] for one in call[:5]]
    assert (call[0].type, call[-1].type, len(call)) == ("status-update", "end-of-call-report", 6)
    assert times == sorted(times)
    assert times[-1] == NOW_MS


def test_only_the_repeated_report_is_a_duplicate() -> None:
    """All other steps have different dedup keys, also in another run."""
    steps = steps_of()

    new = [key_of(step.body) for step in steps if step.expected_status is not Status.DUPLICATE]
    repeated = [key_of(step.body) for step in steps if step.expected_status is Status.DUPLICATE]
    assert len(set(new)) == len(new)
    assert set(repeated) < set(new)
    assert not {key_of(step.body) for step in steps_of(run="f" * 16)} & set(new)


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_backend_answers_as_vapi_expects(name: str) -> None:
    question = samples.sample(name)

    assert mistakes_in(name, question, 200, answer_to(question)) == []


@pytest.mark.parametrize("text", ["", "2s", "2s,4s", "2s,4s,8s", "1s,1s,1s,1s,1s"])
async def test_handlers_fail_as_often_as_announced(text: str) -> None:
    schedule = RetrySchedule.parse(text)
    works, fails, permanent = steps_of(schedule)[-3:]

    for step, failures in ((works, works.attempts - 1), (fails, schedule.max_attempts)):
        for attempt in range(1, failures + 1):
            with pytest.raises(DemoFailure):
                await fail_on_demand(event_of(step, attempt))
    await fail_on_demand(event_of(works, works.attempts))
    with pytest.raises(PermanentFailure):
        await fail_on_demand(event_of(permanent, 1))

    assert works.attempts <= schedule.max_attempts
    assert (fails.attempts, permanent.attempts) == (schedule.max_attempts, 1)


@pytest.mark.parametrize(
    ("status", "attempts", "since_attempt_s", "next_s", "elapsed_s"),
    [
        (Status.FAILED, 1, 0.5, 1.5, 6.5),
        (Status.FAILED, 2, 1.0, 3.0, 7.0),
        (Status.FAILED, 2, 9.0, 0.0, 15.0),  # late, but not negative
        (Status.FAILED, 4, 0.0, None, 6.0),  # it becomes a dead letter next
        (Status.COMPLETED, 2, 60.0, None, 6.0),  # it ends with the last attempt
    ],
)
def test_elapsed_time_and_time_until_the_next_attempt(
    status: Status, attempts: int, since_attempt_s: float, next_s: float | None, elapsed_s: float
) -> None:
    """A failed webhook waits in the retry queue of its attempt."""
    seen = snapshot(status, attempts, since_attempt_s=since_attempt_s)

    assert seen.next_attempt_in_s(SCHEDULE) == next_s
    assert seen.elapsed_s == elapsed_s


@pytest.mark.parametrize(
    ("status", "attempts", "matches"),
    [(Status.COMPLETED, 3, True), (Status.COMPLETED, 1, False), (Status.DEAD_LETTER, 3, False)],
)
def test_a_step_expects_status_and_attempts(
    status: Status, attempts: int, *, matches: bool
) -> None:
    assert snapshot(status, attempts).matches(steps_of()[-3]) is matches


def test_missing_demo_handlers_are_explained() -> None:
    """Without the handlers that fail, every webhook completes at its first attempt."""
    steps = steps_of()
    ids = [str(number) for number in range(len(steps))]
    seen = {job_id: snapshot(Status.COMPLETED, 1) for job_id in ids}

    console = Console(width=10_000, file=io.StringIO())
    with console.capture() as printed:
        for part in explanations(steps, ids, seen):
            console.print(part)

    assert "Add ringback.cli.demo.handlers to the processor's RINGBACK_HANDLERS." in printed.get()
    assert max(map(len, printed.get().splitlines())) < 300, "No line is padded in a pipe."


def test_the_explanations_show_whole_job_ids() -> None:
    """Commands take them; the live table shows none."""
    steps = steps_of()
    job_ids = [str(new_job_id()) for _ in steps]
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    for part in explanations(steps, job_ids, {}):
        console.print(part)

    assert [job_id for job_id in job_ids if job_id not in shown.getvalue()] == []
