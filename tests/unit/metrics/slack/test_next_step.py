"""What is announced next, and when."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.slack.alert_log import AlertGroup
from services.metrics.slack.next_step import (
    MAX_APART,
    MAX_MESSAGES,
    Expire,
    Notify,
    NotifyQuiet,
    NotifyTimes,
    next_step,
)
from tests.unit.metrics.slack.alerts import NOW, ago, group, quiet_for

TIMES = NotifyTimes(
    batch_window=timedelta(seconds=10), interval=timedelta(seconds=60), quiet=timedelta(seconds=300)
)
DAY_S = 86_400


def many(number: int, one: AlertGroup) -> list[AlertGroup]:
    return [replace(one, org_id=UUID(int=n)) for n in range(number)]


def test_nothing_is_due_without_groups() -> None:
    """No message while nothing is wrong."""
    assert next_step([], NOW, TIMES) is None


@pytest.mark.parametrize(
    ("one", "is_told"),
    [
        # The first ones of a group wait for others.
        (group(unsent_for_s=9.9), False),
        (group(unsent_for_s=10), True),
        # Those that follow wait for the interval since the last message, however old they are.
        (group(unsent_for_s=59, sent=5, sent_before_s=59.9), False),
        (group(unsent_for_s=1, sent=5, sent_before_s=60), True),
        # Nothing is announced twice.
        (group(unsent=0, unsent_for_s=None, sent=5, sent_before_s=200), False),
    ],
)
def test_a_group_is_reported_once_per_interval(one: AlertGroup, *, is_told: bool) -> None:
    """A burst is one message, and after that there is one message a minute."""
    assert next_step([one], NOW, TIMES) == (Notify((one,)) if is_told else None)


def test_the_longest_wait_comes_first() -> None:
    """One message is sent at a time."""
    young, old = group(unsent_for_s=20), group(unsent_for_s=30, event_type="older")

    assert next_step([young, old], NOW, TIMES) == Notify((old,))


def test_many_groups_are_reported_in_one_message() -> None:
    """An outage that fails everything in every way does not fill the channel."""
    few, more = many(MAX_APART, group()), many(MAX_APART + 1, group())

    step = next_step(more, NOW, TIMES)

    assert isinstance(step, Notify)
    assert set(step.groups) == set(more)
    assert next_step(few, NOW, TIMES) == Notify((few[0],))


def test_messages_of_an_interval_are_bounded() -> None:
    """New groups wait once there were many messages in this interval."""
    sent = [
        replace(one, sent_at=ago(n + 1), unsent=0, unsent_since=None)
        for n, one in enumerate(many(MAX_MESSAGES, group(sent=1)))
    ]
    waiting = group(event_type="late")

    assert next_step([*sent, waiting], NOW, TIMES) is None
    assert next_step([*sent[1:], waiting], NOW, TIMES) == Notify((waiting,))


def test_groups_of_one_message_count_as_one() -> None:
    """A message about a hundred groups counts once, not a hundred times."""
    sent = many(100, quiet_for(5))
    waiting = group(event_type="late")

    assert next_step([*sent, waiting], NOW, TIMES) == Notify((waiting,))


def test_the_end_is_due_after_the_quiet_time() -> None:
    """A quiet group waits a little for others, and then one message covers all."""
    ended, ends_soon, goes_on = quiet_for(310), quiet_for(300), quiet_for(299)

    assert next_step([ends_soon, goes_on], NOW, TIMES) is None
    assert next_step([ended, ends_soon, goes_on], NOW, TIMES) == NotifyQuiet((ended, ends_soon))


@pytest.mark.parametrize("one", [group(unsent_for_s=DAY_S), quiet_for(DAY_S + 300)])
def test_groups_unsent_for_a_day_expire(one: AlertGroup) -> None:
    """Old announcements are dropped: yesterday's news helps no one."""
    assert next_step([one, group()], NOW, TIMES) == Expire((one,))


@given(
    st.lists(
        st.builds(
            group,
            unsent=st.integers(1, 5),
            unsent_for_s=st.floats(0, 2 * DAY_S),
            sent=st.integers(0, 5),
            sent_before_s=st.none() | st.floats(0, 1000),
        )
        | st.builds(quiet_for, st.floats(0, 2 * DAY_S)),
        max_size=40,
    )
)
def test_a_step_is_about_some_group_that_there_is(groups: list[AlertGroup]) -> None:
    """No empty message, and no group in a message that does not apply to it."""
    step = next_step(groups, NOW, TIMES)

    if step is not None:
        assert step.groups
        assert all(one in groups for one in step.groups)
    if isinstance(step, Notify):
        assert all(one.unsent for one in step.groups)
    if isinstance(step, NotifyQuiet):
        assert not any(one.unsent for one in step.groups)
