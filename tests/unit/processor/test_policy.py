"""The table of verdicts."""

from types import MappingProxyType
from typing import cast

import pytest

from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import WORK_DELIVERY_LIMIT
from services.processor.attempt.policy import (
    MAX_DELIVERIES,
    Acknowledge,
    Failure,
    Forward,
    Reject,
    SourceQueue,
    Verdict,
    crash_limit_reached,
    dead_letter,
    decide,
    needs_quarantine,
    needs_renewal,
    quarantine,
    renew,
    requeue_later,
)

TO_DEAD = "webhooks.dead"
BOTH, NONE = RetrySchedule.parse("2s,4s"), RetrySchedule.parse("")


@pytest.mark.parametrize("source", SourceQueue)
@pytest.mark.parametrize("attempt", [1, 3, 9])
@pytest.mark.parametrize("schedule", [BOTH, NONE])
@pytest.mark.parametrize("outcome", [AttemptOutcome.COMPLETED, AttemptOutcome.DUPLICATE])
def test_what_is_finished_is_acknowledged(
    outcome: AttemptOutcome, source: SourceQueue, attempt: int, schedule: RetrySchedule
) -> None:
    """This is the same in any lane, at any attempt."""
    assert (
        decide(outcome, source=source, attempt=Attempt(attempt), schedule=schedule) == Acknowledge()
    )


@pytest.mark.parametrize("source", SourceQueue)
@pytest.mark.parametrize("attempt", [1, 3, 9])
def test_a_permanent_failure_goes_to_the_dead_letters(source: SourceQueue, attempt: int) -> None:
    """The header has its attempt, and no reason: the log has that."""
    verdict = decide(
        AttemptOutcome.PERMANENT, source=source, attempt=Attempt(attempt), schedule=BOTH
    )

    assert verdict == dead_letter(Attempt(attempt))
    assert isinstance(verdict, Forward)
    assert (verdict.exchange, dict(verdict.headers)) == (TO_DEAD, {"attempt": attempt})


ZERO = MappingProxyType[str, str | int]({"requeues": 0, "crashes": 0})


@pytest.mark.parametrize(
    ("source", "attempt", "schedule", "verdict"),
    [
        # The broker moves what the work queue rejects, also if no retry queue is left.
        (SourceQueue.WORK, 1, BOTH, Reject(BOTH.retry_queues[0])),
        (SourceQueue.WORK, 2, BOTH, Reject(BOTH.retry_queues[1])),
        (SourceQueue.WORK, 3, BOTH, Reject()),
        (SourceQueue.WORK, 9, BOTH, Reject()),
        (SourceQueue.WORK, 1, NONE, Reject()),
        # The processor publishes a quarantined message to its retry queue itself; it counts from
        # zero there.
        (
            SourceQueue.QUARANTINE,
            1,
            BOTH,
            Forward("", "webhooks.retry.1.2s", ZERO, retry_queue=BOTH.retry_queues[0]),
        ),
        (
            SourceQueue.QUARANTINE,
            2,
            BOTH,
            Forward("", "webhooks.retry.2.4s", ZERO, retry_queue=BOTH.retry_queues[1]),
        ),
        (SourceQueue.QUARANTINE, 3, BOTH, dead_letter(Attempt(3))),
        (SourceQueue.QUARANTINE, 9, BOTH, dead_letter(Attempt(9))),
        (SourceQueue.QUARANTINE, 1, NONE, dead_letter(Attempt(1))),
    ],
)
def test_a_failure_waits_on_its_retry_queue_or_is_dead(
    source: SourceQueue, attempt: int, schedule: RetrySchedule, verdict: Verdict
) -> None:
    """Attempts beyond the retry schedule are the last."""
    got = decide(AttemptOutcome.FAILED, source=source, attempt=Attempt(attempt), schedule=schedule)

    assert got == verdict


def test_an_outcome_that_is_none_of_ours_is_refused() -> None:
    """A new outcome cannot be forgotten here."""
    with pytest.raises(AssertionError):
        decide(
            cast("AttemptOutcome", "new"),
            source=SourceQueue.WORK,
            attempt=Attempt(1),
            schedule=BOTH,
        )


def test_a_reason_goes_beside_what_the_log_does_not_know() -> None:
    """A message that was never attempted carries its failure to the recorder."""
    verdict = dead_letter(Attempt(2), Failure("undeliverable", "It has no type."))

    assert verdict.routing_key == "attempt.2"
    assert dict(verdict.headers) == {
        "attempt": 2,
        "error_class": "undeliverable",
        "error_message": "It has no type.",
    }


def test_a_quarantine_keeps_its_attempt() -> None:
    """The default exchange replaces its routing key, so the attempt is in a header."""
    assert quarantine(Attempt(3)) == Forward(
        "", "webhooks.quarantine", dead_letter(Attempt(3)).headers
    )


@pytest.mark.parametrize(
    ("deliveries", "away", "expected"),
    [(0, False, False), (2, False, False), (3, False, True), (99, False, True), (3, True, False)],
)
def test_three_deliveries_without_an_answer_make_a_quarantine(
    deliveries: int,
    *,
    away: bool,
    expected: bool,
) -> None:
    """This does not apply if we returned it ourselves because the database was unavailable."""
    assert needs_quarantine(deliveries, database_was_away=away) is expected


@pytest.mark.parametrize(("deliveries", "hopeless"), [(0, False), (2, False), (3, True)])
def test_three_deliveries_alone_without_an_answer_are_the_last(
    deliveries: int,
    *,
    hopeless: bool,
) -> None:
    """A message that killed the process three times in quarantine gets no fourth chance."""
    assert crash_limit_reached(deliveries) is hopeless


FAILURE = Failure("TransactionLostError", "The connection has ended.")


def test_a_return_waits_longer_each_time() -> None:
    """The waits grow from one second to about a minute, in their own queue, and are counted."""
    turns = [
        requeue_later(returns, source=SourceQueue.WORK, attempt=Attempt(2), failure=FAILURE)
        for returns in range(1, 11)
    ]

    assert {turn.routing_key for turn in turns} == {"webhooks.requeued"}
    assert [turn.wait_ms for turn in turns] == [
        1_000 * seconds for seconds in (1, 2, 4, 8, 16, 32, 64, 64, 64, 64)
    ]
    assert [turn.headers["requeues"] for turn in turns] == list(range(1, 11))
    assert {turn.headers["attempt"] for turn in turns} == {2}


def test_ten_returns_are_run_alone_and_then_dead() -> None:
    """The dead letter has the last reason; the broker never ends the message itself."""
    work = requeue_later(11, source=SourceQueue.WORK, attempt=Attempt(2), failure=FAILURE)
    alone = requeue_later(12, source=SourceQueue.QUARANTINE, attempt=Attempt(2), failure=FAILURE)

    assert (work.routing_key, dict(work.headers)) == (
        "webhooks.quarantine",
        {"attempt": 2, "requeues": 11},
    )
    assert alone == dead_letter(Attempt(2), FAILURE)


def test_a_copy_comes_before_the_limits_of_the_broker() -> None:
    """100 on the work queue, 3 on the quarantine', and RabbitMQ 4's default of 20 elsewhere."""
    assert not needs_renewal(MAX_DELIVERIES - 1)
    assert needs_renewal(MAX_DELIVERIES)
    assert min(20, WORK_DELIVERY_LIMIT) > MAX_DELIVERIES
    assert renew(Attempt(3)) == Forward("", "webhooks.work", dead_letter(Attempt(3)).headers)
    assert dict(quarantine(Attempt(3), 2).headers) == {"attempt": 3, "crashes": 2}
