"""Tests for ringback.contract.status."""

import pytest

from ringback.contract.status import TRANSITIONS, AttemptOutcome, Status

FINISHED = {Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER}


@pytest.mark.parametrize("status", list(Status))
def test_every_end_is_one_step_away_and_the_last(status: Status) -> None:
    """A finished webhook never runs again. Best-effort rows of the steps before may be missing."""
    following = TRANSITIONS[status]

    assert not following if status in FINISHED else following >= FINISHED


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (AttemptOutcome.COMPLETED, Status.COMPLETED),
        (AttemptOutcome.FAILED, Status.FAILED),
        (AttemptOutcome.DUPLICATE, Status.DUPLICATE),
        # The dead letter is recorded by its consumer, not by the processor that sent it there.
        (AttemptOutcome.PERMANENT, Status.FAILED),
    ],
)
def test_an_outcome_makes_a_status(outcome: AttemptOutcome, status: Status) -> None:
    """Right after its attempt a webhook has the status of the outcome."""
    assert outcome.status is status
