"""The table of verdicts. `test_message_handler` shows when each is asked for."""

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.contract.topology import WORK_DELIVERY_LIMIT
from ringback.services.processor.attempt.policy import (
    MAX_DELIVERIES,
    Acknowledge,
    Copy,
    Failure,
    Reject,
    SourceQueue,
    Verdict,
    dead_letter,
    decide,
    requeue_later,
)
from ringback.services.processor.attempt.result import Wait

BOTH, NONE = RetrySchedule.parse("2s,4s"), RetrySchedule.parse("")
#: The second delay is a wait, although it is short.
MIXED = RetrySchedule.parse("2s,4s,3s", longest_queue_delay_ms=3_000)
WORK, QUARANTINE = SourceQueue.WORK, SourceQueue.QUARANTINE
FAILED, PERMANENT = AttemptOutcome.FAILED, AttemptOutcome.PERMANENT
FAILURE = Failure("TransactionLostError", "The connection has ended.")
#: The attempt was made, so the next one starts without the requeues and crashes before it.
ZERO = MappingProxyType[str, str | int]({"requeues": 0, "crashes": 0, "parks": 0})


def retry_copy(place: int) -> Copy:
    queue = BOTH.retry_queues[place]
    return Copy("webhooks.failed", f"attempt.{place + 1}", ZERO, retry_queue=queue)


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
    got = decide(
        outcome, source=source, attempt=Attempt(attempt), schedule=schedule, bound=schedule
    )

    assert got == verdict


@pytest.mark.parametrize(
    ("source", "attempt", "schedule", "bound", "step"),
    [
        # A delay that is too long for a retry queue, between two that are not.
        (WORK, 1, MIXED, MIXED, Reject(MIXED.retry_queues[0])),
        (WORK, 2, MIXED, MIXED, 4_000),
        (QUARANTINE, 2, MIXED, MIXED, 4_000),
        (WORK, 3, MIXED, MIXED, Reject(MIXED.retry_queues[1])),
        (WORK, 4, MIXED, MIXED, Reject()),
        # Another schedule uses the queue of its attempt if the delay is the same.
        (WORK, 1, RetrySchedule.parse("2000ms,1h"), BOTH, Reject(BOTH.retry_queues[0])),
        (WORK, 2, RetrySchedule.parse("2000ms,1h"), BOTH, 3_600_000),
        (WORK, 1, RetrySchedule.parse("5s"), BOTH, 5_000),
        (WORK, 3, RetrySchedule.parse("2s,4s,4s"), BOTH, 4_000),
        # After its last attempt, the broker would still have a retry queue for a rejected message.
        (WORK, 1, NONE, BOTH, dead_letter(Attempt(1))),
        (WORK, 2, RetrySchedule.parse("5s"), BOTH, dead_letter(Attempt(2))),
        (WORK, 3, RetrySchedule.parse("5s,5s"), BOTH, Reject()),
        (WORK, 2, RetrySchedule.parse("2s"), MIXED, dead_letter(Attempt(2))),
    ],
)
def test_a_delay_without_a_retry_queue_is_a_wait(
    source: SourceQueue,
    attempt: int,
    schedule: RetrySchedule,
    bound: RetrySchedule,
    step: Verdict | int,
) -> None:
    """Without an endless loop and without an attempt too many."""
    got = decide(FAILED, source=source, attempt=Attempt(attempt), schedule=schedule, bound=bound)

    assert got == (Wait(WaitReason.RETRY, step) if isinstance(step, int) else step)


@given(st.floats(0, 1))
def test_only_a_wait_has_jitter_and_only_upward(jitter: float) -> None:
    """A retry queue has one delay for all its messages."""
    queued, wait = (
        decide(FAILED, source=WORK, attempt=Attempt(n), schedule=MIXED, bound=MIXED, jitter=jitter)
        for n in (1, 2)
    )

    assert queued == Reject(MIXED.retry_queues[0])
    assert isinstance(wait, Wait)
    assert wait.delay_ms is not None
    assert 4_000 <= wait.delay_ms <= 4_400


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
