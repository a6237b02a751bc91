from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ringback.cli.demo_handlers import DemoFailure, fail_on_demand
from ringback.cli.demo_plan import Act, acts_of, call_id_of
from ringback.cli.demo_watch import Sighting
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


def read(act: Act) -> ReadEvent:
    event = read_event(act.body)
    assert isinstance(event, ReadEvent)
    return event


def key_of(act: Act) -> str | None:
    """The key by which the gateway recognises the event."""
    event = read(act)
    return dedup_key(event.type, event.message)


def handed(act: Act, attempt: int) -> Event:
    event = read(act)
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


def sighting(status: Status, attempts: int, *, since_attempt_s: float = 0.0) -> Sighting:
    job_id = new_job_id()
    arrived = created_at(job_id)
    return Sighting(
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
    acts = acts_of(SCHEDULE, run=RUN, now_ms=NOW_MS)

    call = [event for act in acts if (event := read(act)).call_id == call_id_of(acts)]
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
    acts = acts_of(SCHEDULE, run=RUN, now_ms=NOW_MS)
    others = acts_of(SCHEDULE, run="f" * 16, now_ms=NOW_MS)

    fresh = [key_of(act) for act in acts if act.ends_as is not Status.DUPLICATE]
    again = [key_of(act) for act in acts if act.ends_as is Status.DUPLICATE]
    assert len(set(fresh)) == len(fresh)
    assert set(again) < set(fresh)
    assert not {key_of(act) for act in others} & set(fresh)


@pytest.mark.parametrize("schedule", ["", "2s", "2s,4s", "2s,4s,8s", "1s,1s,1s,1s,1s"])
async def test_handlers_do_what_the_plan_promises(schedule: str) -> None:
    """With any schedule, each failing webhook fails exactly as often as announced."""
    limit = RetrySchedule.parse(schedule).max_attempts
    acts = acts_of(RetrySchedule.parse(schedule), run=RUN, now_ms=NOW_MS)
    works, fails, permanent = acts[-3:]

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
    seen = sighting(status, attempts, since_attempt_s=since_attempt_s)

    assert seen.next_attempt_in_s(SCHEDULE) == expected


def test_the_age_of_what_is_settled_stands_still() -> None:
    """It counts to the last attempt once the webhook is settled, else to now."""
    assert sighting(Status.COMPLETED, 1, since_attempt_s=60).age_s == 6
    assert sighting(Status.FAILED, 1, since_attempt_s=60).age_s == 66


def test_a_promise_is_of_status_and_attempts() -> None:
    """Succeeding at another attempt than expected does not count as expected."""
    act = acts_of(SCHEDULE, run=RUN, now_ms=NOW_MS)[-3]

    assert sighting(Status.COMPLETED, 3).keeps_promise_of(act)
    assert not sighting(Status.COMPLETED, 1).keeps_promise_of(act)
    assert not sighting(Status.DEAD_LETTER, 3).keeps_promise_of(act)
