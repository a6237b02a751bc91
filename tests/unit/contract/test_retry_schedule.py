"""Tests for ringback.contract.retry_schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.retry_schedule import (
    BULK_KEY,
    FIRST_ATTEMPT,
    Attempt,
    InvalidRetryScheduleError,
    RetrySchedule,
    attempt_of,
    routing_key,
)

DELAYS = st.builds(
    lambda number, unit: f"{number}{unit}",
    st.integers(1, 24),
    st.sampled_from(["ms", "s", "m", "h"]),
)


@pytest.mark.parametrize(
    ("text", "delays_ms"),
    [
        ("2s,4s,8s", [2_000, 4_000, 8_000]),  # the default schedule
        (" 500ms , 5m ,24h ", [500, 300_000, 86_400_000]),  # every unit, spaces, the longest delay
        ("2s,2s", [2_000, 2_000]),  # the same delay twice is two queues
        ("", []),  # one attempt, no retry
        ("  ", []),
    ],
)
def test_a_schedule_is_read(text: str, delays_ms: list[int]) -> None:
    """Each delay is a step, in order, and there is one attempt more than delays."""
    schedule = RetrySchedule.parse(text)

    assert [step.delay_ms for step in schedule.steps] == delays_ms
    assert [step.attempt for step in schedule.steps] == list(range(1, len(delays_ms) + 1))
    assert schedule.max_attempts == len(delays_ms) + 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("2s,,8s", "''"),
        ("2s,", "''"),
        ("0s", "'0s'"),
        ("-2s", "'-2s'"),
        ("2", "'2'"),
        ("2S", "'2S'"),
        ("1.5s", "'1.5s'"),
        ("2s 4s", "'2s 4s'"),
        ("25h", "'25h'"),
        ("\N{ARABIC-INDIC DIGIT TWO}s", "s'"),
        ("9" * 5_000 + "s", "9s"),  # more digits than Python turns into a number
        (",".join(["1s"] * 21), "21"),
    ],
)
def test_a_bad_schedule_is_refused_by_name(text: str, named: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(InvalidRetryScheduleError) as caught:
        RetrySchedule.parse(text)

    assert named in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_refused(text: str) -> None:
    """Nothing but InvalidRetryScheduleError is raised."""
    try:
        schedule = RetrySchedule.parse(text)
    except InvalidRetryScheduleError:
        return

    assert RetrySchedule.parse(str(schedule)) == schedule


@given(st.lists(DELAYS, max_size=20))
def test_every_step_is_taken_once(delays: list[str]) -> None:
    """From attempt 1 on, each is taken once and in order, then none is left."""
    schedule = RetrySchedule.parse(",".join(delays))

    taken = [schedule.step_after(Attempt(n)) for n in range(1, schedule.max_attempts)]

    assert taken == list(schedule.steps)
    assert schedule.step_after(Attempt(schedule.max_attempts)) is None
    assert schedule.step_after(Attempt(schedule.max_attempts + 7)) is None
    assert len({step.queue_name for step in schedule.steps}) == len(delays)


@given(st.lists(DELAYS, max_size=20))
def test_only_delays_up_to_30_s_have_retry_queues(delays: list[str]) -> None:
    schedule = RetrySchedule.parse(",".join(delays))

    queued = [schedule.retry_queue_after(Attempt(n)) for n in range(1, schedule.max_attempts + 1)]

    assert [step for step in queued if step] == list(schedule.retry_queues)
    assert list(schedule.retry_queues) == [s for s in schedule.steps if s.delay_ms <= 30_000]


@given(st.integers(1, 9_999))
def test_a_routing_key_is_the_attempt(number: int) -> None:
    """The attempt in a key can be parsed."""
    assert attempt_of(routing_key(Attempt(number))) == number
    assert attempt_of(BULK_KEY) == FIRST_ATTEMPT


@pytest.mark.parametrize(
    "key",
    ["", "attempt", "attempt.", "attempt.0", "attempt.01", "attempt.-1", "attempt.1.2",
     "attempt.2.bulk", "attempt.1 ", "xattempt.1", "attempt.10000", "attempt.one",
     "attempt.\N{ARABIC-INDIC DIGIT ONE}", "attempt.1\n"],
)  # fmt: skip
def test_a_foreign_routing_key_is_no_attempt(key: str) -> None:
    """A key that we do not write has no attempt."""
    assert attempt_of(key) is None
