"""Tests for ringback.contract.status."""

import pytest

from ringback.contract.status import TRANSITIONS, AttemptOutcome, Status

FINISHED = {Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER}


@pytest.mark.parametrize("status", list(Status))
def test_only_the_finished_lead_nowhere(status: Status) -> None:
    """A finished webhook never runs again, and an unfinished one always has a next state."""
    assert (not TRANSITIONS[status]) == (status in FINISHED)


@pytest.mark.parametrize("status", sorted(set(Status) - FINISHED))
def test_from_anywhere_every_end_can_be_reached(status: Status) -> None:
    """Best-effort rows may be missing, so each end is one step away from each beginning."""
    assert TRANSITIONS[status] >= FINISHED


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
