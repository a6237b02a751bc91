"""The table of verdicts."""

from types import MappingProxyType
from typing import cast

import pytest

from ringback.contract.ladder import Attempt, Ladder
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import WORK_DELIVERY_LIMIT
from services.processor.policy import (
    MAX_DELIVERIES,
    Acknowledge,
    Failure,
    Forward,
    Lane,
    Reject,
    Verdict,
    bury,
    decide,
    give_up_turn,
    is_hopeless,
    is_suspect,
    is_worn,
    renew,
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
    """This is the same in any lane, at any attempt."""
    assert decide(outcome, lane=lane, attempt=Attempt(attempt), ladder=ladder) == Acknowledge()


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("attempt", [1, 3, 9])
def test_a_permanent_failure_goes_to_the_dead_letters(lane: Lane, attempt: int) -> None:
    """The header has its attempt, and no reason: the log has that."""
    verdict = decide(AttemptOutcome.PERMANENT, lane=lane, attempt=Attempt(attempt), ladder=BOTH)

    assert verdict == bury(Attempt(attempt))
    assert isinstance(verdict, Forward)
    assert (verdict.exchange, dict(verdict.headers)) == (TO_DEAD, {"attempt": attempt})


ZERO = MappingProxyType[str, str | int]({"returns": 0, "crashes": 0})


@pytest.mark.parametrize(
    ("lane", "attempt", "ladder", "verdict"),
    [
        # The broker moves what the work queue rejects, also if no retry queue is left.
        (Lane.WORK, 1, BOTH, Reject(BOTH.rungs[0])),
        (Lane.WORK, 2, BOTH, Reject(BOTH.rungs[1])),
        (Lane.WORK, 3, BOTH, Reject()),
        (Lane.WORK, 9, BOTH, Reject()),
        (Lane.WORK, 1, NONE, Reject()),
        # The processor publishes a suspect to its retry queue itself; it counts from zero there.
        (Lane.SUSPECT, 1, BOTH, Forward("", "webhooks.retry.1.2s", ZERO, rung=BOTH.rungs[0])),
        (Lane.SUSPECT, 2, BOTH, Forward("", "webhooks.retry.2.4s", ZERO, rung=BOTH.rungs[1])),
        (Lane.SUSPECT, 3, BOTH, bury(Attempt(3))),
        (Lane.SUSPECT, 9, BOTH, bury(Attempt(9))),
        (Lane.SUSPECT, 1, NONE, bury(Attempt(1))),
    ],
)
def test_a_failure_waits_on_its_rung_or_is_dead(
    lane: Lane, attempt: int, ladder: Ladder, verdict: Verdict
) -> None:
    """Attempts beyond the retry schedule are the last."""
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
    """The default exchange replaces its routing key, so the attempt is in a header."""
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
    """This does not apply if we returned it ourselves because the database was unavailable."""
    assert is_suspect(deliveries, database_was_away=away) is suspect


@pytest.mark.parametrize(("deliveries", "hopeless"), [(0, False), (2, False), (3, True)])
def test_three_deliveries_alone_without_an_answer_are_the_last(
    deliveries: int,
    *,
    hopeless: bool,
) -> None:
    """A message that killed the process three times in quarantine gets no fourth chance."""
    assert is_hopeless(deliveries) is hopeless


FAILURE = Failure("TransactionLostError", "The connection has ended.")


def test_a_return_waits_longer_each_time() -> None:
    """The waits grow from one second to about a minute, in their own queue, and are counted."""
    turns = [
        give_up_turn(returns, lane=Lane.WORK, attempt=Attempt(2), failure=FAILURE)
        for returns in range(1, 11)
    ]

    assert {turn.routing_key for turn in turns} == {"webhooks.returned"}
    assert [turn.wait_ms for turn in turns] == [
        1_000 * seconds for seconds in (1, 2, 4, 8, 16, 32, 64, 64, 64, 64)
    ]
    assert [turn.headers["returns"] for turn in turns] == list(range(1, 11))
    assert {turn.headers["attempt"] for turn in turns} == {2}


def test_ten_returns_are_run_alone_and_then_dead() -> None:
    """The dead letter has the last reason; the broker never ends the message itself."""
    work = give_up_turn(11, lane=Lane.WORK, attempt=Attempt(2), failure=FAILURE)
    alone = give_up_turn(12, lane=Lane.SUSPECT, attempt=Attempt(2), failure=FAILURE)

    assert (work.routing_key, dict(work.headers)) == (
        "webhooks.suspect",
        {"attempt": 2, "returns": 11},
    )
    assert alone == bury(Attempt(2), FAILURE)


def test_a_copy_comes_before_the_limits_of_the_broker() -> None:
    """100 on the work queue, 3 on the suspects', and RabbitMQ 4's default of 20 elsewhere."""
    assert not is_worn(MAX_DELIVERIES - 1)
    assert is_worn(MAX_DELIVERIES)
    assert min(20, WORK_DELIVERY_LIMIT) > MAX_DELIVERIES
    assert renew(Attempt(3)) == Forward("", "webhooks.work", bury(Attempt(3)).headers)
    assert dict(set_aside(Attempt(3), 2).headers) == {"attempt": 3, "crashes": 2}
