"""What is announced next, and when."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.metrics.slack.alert_log import AlertGroup
from ringback.services.metrics.slack.next_step import (
    MAX_MESSAGES,
    MAX_SEPARATE,
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


YOUNG, OLD, LATE = (
    group(unsent_for_s=20),
    group(unsent_for_s=30, event_type="older"),
    group(event_type="late"),
)
#: Each was reported in a message of its own in this interval.
REPORTED = [
    replace(one, sent_at=ago(n + 1), unsent=0, unsent_since=None)
    for n, one in enumerate(many(MAX_MESSAGES, group(sent=1)))
]
FEW, MORE = many(MAX_SEPARATE, group()), many(MAX_SEPARATE + 1, group())
ENDED, ENDS_SOON, CONTINUES = quiet_for(310), quiet_for(300), quiet_for(299)
EXPIRED = [group(unsent_for_s=DAY_S), quiet_for(DAY_S + 300)]


@pytest.mark.parametrize(
    ("groups", "step"),
    [
        ([], None),
        # One message is sent at a time; the longest wait comes first.
        ([YOUNG, OLD], Notify((OLD,))),
        # An outage that fails everything in every way does not fill the channel.
        (FEW, Notify((FEW[0],))),
        (MORE, Notify(tuple(MORE))),
        # New groups wait once there were many messages in this interval.
        ([*REPORTED, LATE], None),
        ([*REPORTED[1:], LATE], Notify((LATE,))),
        # A message about a hundred groups counts once.
        ([*many(100, quiet_for(5)), LATE], Notify((LATE,))),
        # A quiet group waits a little for others, and then one message covers all.
        ([ENDS_SOON, CONTINUES], None),
        ([ENDED, ENDS_SOON, CONTINUES], NotifyQuiet((ENDED, ENDS_SOON))),
        # Old announcements are dropped: yesterday's news helps no one.
        *(([one, group()], Expire((one,))) for one in EXPIRED),
    ],
)
def test_the_next_step(
    groups: list[AlertGroup], step: Notify | NotifyQuiet | Expire | None
) -> None:
    assert next_step(groups, NOW, TIMES) == step


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
