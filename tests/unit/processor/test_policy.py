"""The table of verdicts. `test_message_handler` shows when each is asked for."""

from types import MappingProxyType

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
    dead_letter,
    decide,
    requeue_later,
)

BOTH, NONE = RetrySchedule.parse("2s,4s"), RetrySchedule.parse("")
WORK, QUARANTINE = SourceQueue.WORK, SourceQueue.QUARANTINE
FAILED, PERMANENT = AttemptOutcome.FAILED, AttemptOutcome.PERMANENT
FAILURE = Failure("TransactionLostError", "The connection has ended.")
#: The attempt was made, so the next one starts without the requeues and crashes before it.
ZERO = MappingProxyType[str, str | int]({"requeues": 0, "crashes": 0})


def retry_copy(place: int) -> Forward:
    queue = BOTH.retry_queues[place]
    return Forward("", queue.queue_name, ZERO, retry_queue=queue)


@pytest.mark.parametrize(
    ("outcome", "source", "attempt", "schedule", "verdict"),
    [
        (AttemptOutcome.COMPLETED, WORK, 1, BOTH, Acknowledge()),
        (AttemptOutcome.DUPLICATE, QUARANTINE, 9, NONE, Acknowledge()),
        (PERMANENT, WORK, 1, BOTH, dead_letter(Attempt(1))),
        (PERMANENT, QUARANTINE, 3, BOTH, dead_letter(Attempt(3))),
        # The broker moves what the work queue rejects, also if no retry queue is left.
        (FAILED, WORK, 1, BOTH, Reject(BOTH.retry_queues[0])),
        (FAILED, WORK, 2, BOTH, Reject(BOTH.retry_queues[1])),
        (FAILED, WORK, 3, BOTH, Reject()),
        (FAILED, WORK, 9, BOTH, Reject()),
        (FAILED, WORK, 1, NONE, Reject()),
        # The processor publishes a quarantined message to its retry queue itself.
        (FAILED, QUARANTINE, 1, BOTH, retry_copy(0)),
        (FAILED, QUARANTINE, 2, BOTH, retry_copy(1)),
        (FAILED, QUARANTINE, 3, BOTH, dead_letter(Attempt(3))),
        (FAILED, QUARANTINE, 1, NONE, dead_letter(Attempt(1))),
    ],
)
def test_an_outcome_decides(
    outcome: AttemptOutcome,
    source: SourceQueue,
    attempt: int,
    schedule: RetrySchedule,
    verdict: Verdict,
) -> None:
    """Attempts beyond the retry schedule are the last."""
    got = decide(outcome, source=source, attempt=Attempt(attempt), schedule=schedule)

    assert got == verdict


def test_a_requeued_message_waits_longer_each_time() -> None:
    """From one second to about a minute; then it is quarantined, and then it is a dead letter."""
    copies = [
        requeue_later(requeues, source=WORK, attempt=Attempt(2), failure=FAILURE)
        for requeues in range(1, 12)
    ]
    last = requeue_later(12, source=QUARANTINE, attempt=Attempt(2), failure=FAILURE)

    assert [(copy.routing_key, copy.wait_ms) for copy in copies] == [
        *(("webhooks.requeued", 1_000 * s) for s in (1, 2, 4, 8, 16, 32, 64, 64, 64, 64)),
        ("webhooks.quarantine", None),
    ]
    assert [copy.headers["requeues"] for copy in copies] == list(range(1, 12))
    assert {copy.headers["attempt"] for copy in copies} == {2}
    assert last == dead_letter(Attempt(2), FAILURE)
    assert (last.exchange, last.routing_key) == ("webhooks.dead", "attempt.2")


def test_a_copy_comes_before_the_limits_of_the_broker() -> None:
    """100 on the work queue, and RabbitMQ 4's default of 20 elsewhere."""
    assert min(20, WORK_DELIVERY_LIMIT) > MAX_DELIVERIES
