from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.status import Status
from services.metrics.changes.bulk_tally import Outcome, Tally

IDS = [UUID(int=number) for number in range(1, 6)]
OUTCOMES = st.builds(
    Outcome, st.sampled_from(IDS), st.sampled_from(list(Status)), st.integers(0, 5)
)


@pytest.mark.parametrize(
    ("status", "attempts", "has_ended", "has_failed"),
    [
        (Status.PENDING, 0, False, False),
        (Status.PROCESSING, 0, False, False),
        (Status.PROCESSING, 1, False, True),
        (Status.FAILED, 1, False, True),
        (Status.COMPLETED, 1, True, False),
        (Status.COMPLETED, 2, True, True),
        (Status.DUPLICATE, 1, True, False),
        (Status.DEAD_LETTER, 0, True, True),
        (Status.DEAD_LETTER, 4, True, True),
    ],
)
def test_what_a_row_says_of_its_webhook(
    status: Status, attempts: int, *, has_ended: bool, has_failed: bool
) -> None:
    """A failed attempt counts even if a later one succeeded; it is no result."""
    outcome = Outcome(IDS[0], status, attempts)

    assert (outcome.has_ended, outcome.has_failed) == (has_ended, has_failed)


@given(st.lists(st.lists(OUTCOMES)))
def test_each_webhook_counts_once_however_often_it_is_seen(seen: list[list[Outcome]]) -> None:
    """The completed, the failed and the unfinished are never more than were retried."""
    tally = Tally()
    for new_id in IDS[:4]:
        tally.made(new_id)

    for outcomes in seen:
        tally.note(outcomes)

    assert tally.retried == 4
    assert tally.completed + len(tally.unfinished) <= 4
    assert tally.failed_again <= 4
    assert tally.unfinished <= frozenset(IDS[:4])


def test_what_fails_and_then_succeeds_is_counted_as_both() -> None:
    """A run that stops for failures must not forget them."""
    tally = Tally()
    tally.made(IDS[0])

    tally.note([Outcome(IDS[0], Status.FAILED, 1)])
    tally.note([Outcome(IDS[0], Status.COMPLETED, 2)])

    assert (tally.completed, tally.failed_again, tally.unfinished) == (1, 1, frozenset())
