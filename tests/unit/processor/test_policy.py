"""The table of verdicts."""

from typing import cast

import pytest

from ringback.contract.ladder import Attempt, Ladder
from ringback.contract.status import AttemptOutcome
from services.processor.policy import (
    Acknowledge,
    Failure,
    Forward,
    Lane,
    Reject,
    Verdict,
    bury,
    decide,
    is_hopeless,
    is_suspect,
    set_aside,
)

TO_DEAD = "webhooks.dead"
BOTH, NONE = Ladder.parse("2s,4s"), Ladder.parse("")


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("attempt", [1, 3, 9])
@pytest.mark.parametrize("ladder", [BOTH, NONE])
@pytest.mark.parametrize("outcome", [AttemptOutcome.COMPLETED, AttemptOutcome.DUPLICATE])
def test_what_is_finished_is_acknowledged(
    outcome: AttemptOutcome, lane: Lane, attempt: int, ladder: Ladder
) -> None:
    """In any lane, at any attempt."""
    assert decide(outcome, lane=lane, attempt=Attempt(attempt), ladder=ladder) == Acknowledge()


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("attempt", [1, 3, 9])
def test_a_permanent_failure_goes_to_the_dead_letters(lane: Lane, attempt: int) -> None:
    """With its attempt beside it, and without a reason: the log has that."""
    verdict = decide(AttemptOutcome.PERMANENT, lane=lane, attempt=Attempt(attempt), ladder=BOTH)

    assert verdict == bury(Attempt(attempt))
    assert isinstance(verdict, Forward)
    assert (verdict.exchange, dict(verdict.headers)) == (TO_DEAD, {"attempt": attempt})


@pytest.mark.parametrize(
    ("lane", "attempt", "ladder", "verdict"),
    [
        # The broker moves what the work queue rejects, also where no rung is left.
        (Lane.WORK, 1, BOTH, Reject(BOTH.rungs[0])),
        (Lane.WORK, 2, BOTH, Reject(BOTH.rungs[1])),
        (Lane.WORK, 3, BOTH, Reject()),
        (Lane.WORK, 9, BOTH, Reject()),
        (Lane.WORK, 1, NONE, Reject()),
        # A suspect is sent to its rung by hand.
        (Lane.SUSPECT, 1, BOTH, Forward("", "webhooks.retry.1.2s", rung=BOTH.rungs[0])),
        (Lane.SUSPECT, 2, BOTH, Forward("", "webhooks.retry.2.4s", rung=BOTH.rungs[1])),
        (Lane.SUSPECT, 3, BOTH, bury(Attempt(3))),
        (Lane.SUSPECT, 9, BOTH, bury(Attempt(9))),
        (Lane.SUSPECT, 1, NONE, bury(Attempt(1))),
    ],
)
def test_a_failure_waits_on_its_rung_or_is_dead(
    lane: Lane, attempt: int, ladder: Ladder, verdict: Verdict
) -> None:
    """Attempts beyond the ladder are the last."""
    got = decide(AttemptOutcome.FAILED, lane=lane, attempt=Attempt(attempt), ladder=ladder)

    assert got == verdict


def test_an_outcome_that_is_none_of_ours_is_refused() -> None:
    """A new outcome cannot be forgotten here."""
    with pytest.raises(AssertionError):
        decide(cast("AttemptOutcome", "new"), lane=Lane.WORK, attempt=Attempt(1), ladder=BOTH)


def test_a_reason_goes_beside_what_the_log_does_not_know() -> None:
    """A message that was never attempted carries its failure to the recorder."""
    verdict = bury(Attempt(2), Failure("undeliverable", "It has no type."))

    assert verdict.routing_key == "attempt.2"
    assert dict(verdict.headers) == {
        "attempt": 2,
        "error_class": "undeliverable",
        "error_message": "It has no type.",
    }


def test_a_suspect_keeps_its_attempt() -> None:
    """By way of the default exchange its routing key no longer tells it."""
    assert set_aside(Attempt(3)) == Forward("", "webhooks.suspect", bury(Attempt(3)).headers)


@pytest.mark.parametrize(
    ("deliveries", "away", "suspect"),
    [(0, False, False), (2, False, False), (3, False, True), (99, False, True), (3, True, False)],
)
def test_three_deliveries_without_an_answer_make_a_suspect(
    deliveries: int,
    *,
    away: bool,
    suspect: bool,
) -> None:
    """Unless we returned it ourselves because the database was away."""
    assert is_suspect(deliveries, database_was_away=away) is suspect


@pytest.mark.parametrize(("deliveries", "hopeless"), [(0, False), (2, False), (3, True)])
def test_three_deliveries_alone_without_an_answer_are_the_last(
    deliveries: int,
    *,
    hopeless: bool,
) -> None:
    """What killed the process three times alone does not get a fourth chance."""
    assert is_hopeless(deliveries) is hopeless
