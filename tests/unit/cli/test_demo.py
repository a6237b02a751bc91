from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ringback.cli.demo.handlers import DemoFailure, fail_on_demand
from ringback.cli.demo.steps import DeliverySnapshot, DemoStep, call_id_of, demo_steps
from ringback.contract.event import Event as ReadEvent
from ringback.contract.event import read_event
from ringback.contract.identity import created_at, new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status
from ringback.handlers import Event, PermanentFailure
from services.gateway.events.dedup_key import dedup_key

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
RUN = "0123456789abcdef"
NOW_MS = 1_800_000_000_000


def read(step: DemoStep) -> ReadEvent:
    event = read_event(step.body)
    assert isinstance(event, ReadEvent)
    return event


def key_of(step: DemoStep) -> str | None:
    """The key by which the gateway recognises the event."""
    event = read(step)
    return dedup_key(event.type, event.message)


def handed(step: DemoStep, attempt: int) -> Event:
    event = read(step)
    return Event(
        job_id=new_job_id(),
        org_id=UUID(int=1),
        endpoint_id="default",
        type=event.type,
        call_id=event.call_id,
        message=event.message,
        attempt=attempt,
        max_attempts=4,
        received_at=datetime.now(UTC),
    )


def snapshot(status: Status, attempts: int, *, since_attempt_s: float = 0.0) -> DeliverySnapshot:
    job_id = new_job_id()
    arrived = created_at(job_id)
    return DeliverySnapshot(
        job_id=job_id,
        org_id=UUID(int=1),
        status=status,
        attempts=attempts,
        max_attempts=4,
        last_attempt_at=arrived + timedelta(seconds=6),
        error=None,
        now=arrived + timedelta(seconds=6 + since_attempt_s),
    )


def test_the_call_is_one_call_in_its_order() -> None:
    """All events of the call have its id, come in the order of their times and end now."""
    steps = demo_steps(SCHEDULE, run=RUN, now_ms=NOW_MS)

    call = [event for step in steps if (event := read(step)).call_id == call_id_of(steps)]
    times = [event.message["timestamp"] for event in call[:7]]
    assert [event.type for event in call] == [
        "assistant-request",
        "status-update",
        "transcript",
        "tool-calls",
        "hang",
        "status-update",
        "end-of-call-report",
        "end-of-call-report",
    ]
    assert times == sorted(times)
    assert times[-1] == NOW_MS


def test_only_what_promises_to_be_a_duplicate_is_one() -> None:
    """The demo's keys differ, except for the report that is sent twice; also between runs."""
    steps = demo_steps(SCHEDULE, run=RUN, now_ms=NOW_MS)
    others = demo_steps(SCHEDULE, run="f" * 16, now_ms=NOW_MS)

    fresh = [key_of(step) for step in steps if step.expected_status is not Status.DUPLICATE]
    again = [key_of(step) for step in steps if step.expected_status is Status.DUPLICATE]
    assert len(set(fresh)) == len(fresh)
    assert set(again) < set(fresh)
    assert not {key_of(step) for step in others} & set(fresh)


@pytest.mark.parametrize("schedule", ["", "2s", "2s,4s", "2s,4s,8s", "1s,1s,1s,1s,1s"])
async def test_handlers_do_what_the_plan_promises(schedule: str) -> None:
    """With any schedule, each failing webhook fails exactly as often as announced."""
    limit = RetrySchedule.parse(schedule).max_attempts
    steps = demo_steps(RetrySchedule.parse(schedule), run=RUN, now_ms=NOW_MS)
    works, fails, permanent = steps[-3:]

    for attempt in range(1, works.attempts):
        with pytest.raises(DemoFailure):
            await fail_on_demand(handed(works, attempt))
    await fail_on_demand(handed(works, works.attempts))
    for attempt in range(1, limit + 1):
        with pytest.raises(DemoFailure):
            await fail_on_demand(handed(fails, attempt))
    with pytest.raises(PermanentFailure):
        await fail_on_demand(handed(permanent, 1))

    assert works.attempts <= limit
    assert fails.attempts == limit
    assert permanent.attempts == 1


@pytest.mark.parametrize(
    ("status", "attempts", "since_attempt_s", "expected"),
    [
        (Status.FAILED, 1, 0.5, 1.5),  # the first delay is 2 s
        (Status.FAILED, 2, 1.0, 3.0),
        (Status.FAILED, 2, 9.0, 0.0),  # late, and no time is negative
        (Status.FAILED, 4, 0.0, None),  # the dead letters are next
        (Status.COMPLETED, 2, 0.0, None),
    ],
)
def test_the_wait_for_the_next_attempt_is_known(
    status: Status, attempts: int, since_attempt_s: float, expected: float | None
) -> None:
    """A failed webhook waits in the retry queue of its attempt."""
    seen = snapshot(status, attempts, since_attempt_s=since_attempt_s)

    assert seen.next_attempt_in_s(SCHEDULE) == expected


def test_the_age_of_what_is_settled_stands_still() -> None:
    """It counts to the last attempt once the webhook is settled, else to now."""
    assert snapshot(Status.COMPLETED, 1, since_attempt_s=60).age_s == 6
    assert snapshot(Status.FAILED, 1, since_attempt_s=60).age_s == 66


def test_a_promise_is_of_status_and_attempts() -> None:
    """Succeeding at another attempt than expected does not count as expected."""
    step = demo_steps(SCHEDULE, run=RUN, now_ms=NOW_MS)[-3]

    assert snapshot(Status.COMPLETED, 3).matches(step)
    assert not snapshot(Status.COMPLETED, 1).matches(step)
    assert not snapshot(Status.DEAD_LETTER, 3).matches(step)
