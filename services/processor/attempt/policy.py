"""The one place that decides what happens to a message."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from ringback.contract.envelope import Header
from ringback.contract.retry_schedule import Attempt, RetryQueue, RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import (
    DEAD,
    DEAD_LETTER_QUEUE,
    DEFAULT_EXCHANGE,
    DUE_QUEUE,
    QUARANTINE_DELIVERY_LIMIT,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)

QUARANTINE_AFTER = 3
"""Deliveries without an answer before a message is quarantined: it may crash the process."""

MAX_DELIVERIES = 10
"""Deliveries before a message is replaced by a copy, which the broker counts from 0.

The broker counts every return to a queue: our requeues while the database is unavailable, lost
connections, stops and crashes. Its own limit (100 on the work and due queues; 20 on the dead-letter
queue, RabbitMQ 4's default) would lose the message or keep it forever.
"""

MAX_REQUEUES = 10
"""Requeues without an attempt, despite an available database, before a message is quarantined."""

_FIRST_WAIT_MS = 1_000
_MAX_WAIT_MS = 64_000


class SourceQueue(StrEnum):
    """The queue that a message was consumed from."""

    WORK = WORK_QUEUE
    DUE = DUE_QUEUE
    QUARANTINE = QUARANTINE_QUEUE


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The message is finished."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The attempt failed. The broker moves it to its retry queue, or to the dead letters."""

    retry_queue: RetryQueue | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Nothing was recorded. The broker delivers the message again, and counts that."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Publish a copy elsewhere, and acknowledge the message once that is confirmed."""

    exchange: str
    routing_key: str
    headers: MappingProxyType[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    retry_queue: RetryQueue | None = None
    wait_ms: int | None = None
    """The time after which the broker moves it on; for the queue of requeued messages."""


Verdict = Acknowledge | Reject | Requeue | Forward


@dataclass(frozen=True, slots=True)
class QueueRoute:
    """The queue to which a message is routed, and how long it waits there if that is known."""

    queue: str
    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, as recorded in the log."""

    error_class: str
    error_message: str


UNDELIVERABLE = "undeliverable"
"""The error class of messages that could not be attempted."""

CRASHED = Failure("process_crash", "The process died each time it ran this webhook, also alone.")


def decide(
    outcome: AttemptOutcome, *, source: SourceQueue, attempt: Attempt, schedule: RetrySchedule
) -> Verdict:
    """What happens to a message whose attempt has this outcome, now or in an earlier delivery.

    `source` is QUARANTINE unless the routing key is that of the attempt: the broker needs it to
    find the retry queue. The log already has the reason of a failure, so no header carries it.
    """
    match outcome:
        case AttemptOutcome.COMPLETED | AttemptOutcome.DUPLICATE:
            return Acknowledge()
        case AttemptOutcome.PERMANENT:
            return dead_letter(attempt)
        case AttemptOutcome.FAILED:
            retry_queue = schedule.retry_queue_after(attempt)
            return (
                _retry_later(attempt, retry_queue)
                if source is SourceQueue.QUARANTINE
                else Reject(retry_queue)
            )
        case _:
            assert_never(outcome)


def dead_letter(attempt: Attempt, failure: Failure | None = None) -> Forward:
    """Dead-letter a message, with a reason in its headers if the log has none."""
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt}
    if failure is not None:
        headers[Header.ERROR_CLASS.value] = failure.error_class
        headers[Header.ERROR_MESSAGE.value] = failure.error_message
    return Forward(DEAD, f"attempt.{attempt}", MappingProxyType(headers))


def route_of(verdict: Reject | Forward) -> QueueRoute:
    """Where this verdict routes a message, if the broker's topology is up to date."""
    if verdict.retry_queue is not None:
        return QueueRoute(verdict.retry_queue.queue_name, verdict.retry_queue.delay_ms)
    if isinstance(verdict, Forward) and verdict.exchange == DEFAULT_EXCHANGE:
        return QueueRoute(verdict.routing_key, verdict.wait_ms)
    return QueueRoute(DEAD_LETTER_QUEUE)


def needs_quarantine(deliveries_before: int, *, database_was_unavailable: bool) -> bool:
    """Whether to quarantine a message of the work or the due queue.

    While the database is unavailable we requeue messages ourselves, and that counts as well.
    """
    return deliveries_before >= QUARANTINE_AFTER and not database_was_unavailable


def needs_renewal(deliveries_before: int) -> bool:
    """Whether to replace a message by a copy before the broker's limit applies."""
    return deliveries_before >= MAX_DELIVERIES


def crash_limit_reached(crashes: int) -> bool:
    """Whether a quarantined message has crashed its process too often."""
    return crashes >= QUARANTINE_DELIVERY_LIMIT


def quarantine(attempt: Attempt, crashes: int = 0) -> Forward:
    """Quarantine a message, or move it to the end of the quarantine."""
    counted = {Header.CRASHES.value: crashes} if crashes else {}
    return _copy(QUARANTINE_QUEUE, {Header.ATTEMPT.value: attempt, **counted})


def renew(queue: SourceQueue, attempt: Attempt) -> Forward:
    """Replace a message by a copy at the end of its queue."""
    return _copy(queue, {Header.ATTEMPT.value: attempt})


def return_unbegun(
    queue: SourceQueue, attempt: Attempt, deliveries_before: int
) -> Requeue | Forward:
    """Return a message without an attempt, to its place in the queue if possible.

    The broker counts a requeue like a crash. So returns alone must not reach the number of
    deliveries that quarantines a message.
    """
    if deliveries_before + 1 < QUARANTINE_AFTER:
        return Requeue()
    return renew(queue, attempt)


def requeue_later(
    requeues: int, *, source: SourceQueue, attempt: Attempt, failure: Failure
) -> Forward:
    """What happens to a message that could not be attempted despite an available database.

    `requeues` includes this one. It comes back after longer and longer waits, then it is
    quarantined, and after the next time it is a dead letter with the failure as its reason.
    """
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt, Header.REQUEUES.value: requeues}
    if requeues <= MAX_REQUEUES:
        wait_ms = min(_FIRST_WAIT_MS * 2 ** (requeues - 1), _MAX_WAIT_MS)
        return replace(_copy(REQUEUED_QUEUE, headers), wait_ms=wait_ms)
    if source is SourceQueue.QUARANTINE:
        return dead_letter(attempt, failure)
    return _copy(QUARANTINE_QUEUE, headers)


def _copy(queue: str, headers: dict[str, str | int]) -> Forward:
    return Forward(DEFAULT_EXCHANGE, queue, MappingProxyType(headers))


def _retry_later(attempt: Attempt, retry_queue: RetryQueue | None) -> Forward:
    """Publish a copy to the retry queue, because rejecting here would dead-letter the message."""
    if retry_queue is None:
        return dead_letter(attempt)
    # The attempt was made, so the next one starts without the requeues and crashes before it.
    counts = MappingProxyType[str, str | int]({Header.REQUEUES.value: 0, Header.CRASHES.value: 0})
    return Forward(DEFAULT_EXCHANGE, retry_queue.queue_name, counts, retry_queue=retry_queue)
