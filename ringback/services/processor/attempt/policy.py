"""The one place that decides what happens to a message: ack, retry, requeue, quarantine, DLQ."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from ringback.contract.envelope import Header
from ringback.contract.retry_schedule import Attempt, RetrySchedule, RetryStep, routing_key
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD,
    DEAD_LETTER_QUEUE,
    DEFAULT_EXCHANGE,
    DUE_QUEUE,
    FAILED,
    QUARANTINE_DELIVERY_LIMIT,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.services.processor.attempt.result import AttemptResult, Wait

QUARANTINE_AFTER = 3
"""Deliveries without an answer before a message is quarantined: it may crash the process."""

MAX_DELIVERIES = 10
"""Deliveries before a message is replaced by a copy, which the broker counts from 0.

The broker counts every return to a queue: our requeues while the database is unavailable, lost
connections, stops and crashes. Its own limit (100 on the work, bulk and due queues; 20 on the
dead-letter queue, RabbitMQ 4's default) would lose the message or keep it forever.
"""

MAX_REQUEUES = 10
"""Requeues without an attempt, despite an available database, before a message is quarantined."""

MAX_JITTER = 0.1
"""By which part a wait may be longer than its delay, so that not all end at once."""

MAX_PARKS = 3
"""How often a message is parked for a while. So parking costs a bounded number of copies."""

MAX_FREE_FAILURES = 20
"""How often the failed call of a webhook uses no attempt, because the breaker is open.

Enough for an outage of ten minutes. A webhook that itself makes its destination fail then ends.
"""

_FIRST_WAIT_MS = 1_000
_MAX_WAIT_MS = 64_000


class SourceQueue(StrEnum):
    """The queue that a message was consumed from."""

    WORK = WORK_QUEUE
    BULK = BULK_QUEUE
    DUE = DUE_QUEUE
    QUARANTINE = QUARANTINE_QUEUE


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The message is finished."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The attempt failed. The broker moves it to its retry queue, or to the dead letters."""

    retry_queue: RetryStep | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Nothing was recorded. The broker delivers the message again, and counts that."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Publish a copy elsewhere, and acknowledge the message once that is confirmed."""

    exchange: str
    routing_key: str
    headers: MappingProxyType[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    retry_queue: RetryStep | None = None
    wait_ms: int | None = None
    """The time after which the broker moves it on; for the queue of requeued messages."""


Verdict = Acknowledge | Reject | Requeue | Copy


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

CANCELLED = "cancelled"
"""The error class of webhooks that someone cancelled while they waited."""

CRASHED = Failure("process_crash", "The process died each time it ran this webhook, also alone.")


def decide(
    outcome: AttemptOutcome,
    *,
    source: SourceQueue,
    attempt: Attempt,
    schedule: RetrySchedule,
    bound: RetrySchedule,
    jitter: float = 0.0,
) -> Verdict | Wait:
    """What happens to a webhook whose attempt has this outcome, now or in an earlier delivery.

    `source` is QUARANTINE unless the routing key is that of the attempt: the broker needs it to
    find the retry queue. The log already has the reason of a failure, so no header carries it.

    `schedule` is the one that applies to the webhook. `bound` is the one whose retry queues the
    broker has: a step with the same delay uses its queue. Any other step is a wait, which is longer
    by up to MAX_JITTER (`jitter` is from 0 to 1).
    """
    match outcome:
        case AttemptOutcome.COMPLETED | AttemptOutcome.DUPLICATE:
            return Acknowledge()
        case AttemptOutcome.PERMANENT:
            return dead_letter(attempt)
        case AttemptOutcome.FAILED:
            return _after_failure(source, attempt, schedule, bound, jitter)
        case _:
            assert_never(outcome)


def _after_failure(
    source: SourceQueue,
    attempt: Attempt,
    schedule: RetrySchedule,
    bound: RetrySchedule,
    jitter: float,
) -> Verdict | Wait:
    step, queue = schedule.step_after(attempt), bound.retry_queue_after(attempt)
    if step is None:
        # The broker moves a rejected message to the attempt's retry queue, if there is one.
        has_no_queue = bound.step_after(attempt) is None and source is not SourceQueue.QUARANTINE
        return Reject() if has_no_queue else dead_letter(attempt)
    if queue is None or queue.delay_ms != step.delay_ms:
        return Wait(WaitReason.RETRY, round(step.delay_ms * (1 + MAX_JITTER * jitter)))
    return _copy_for_retry(queue) if source is SourceQueue.QUARANTINE else Reject(queue)


def after_wait(wait: Wait, free_failures: int) -> Wait | AttemptResult:
    """Whether a webhook waits, or has used an attempt because too many of its calls failed."""
    if wait.failure is not None and free_failures >= MAX_FREE_FAILURES:
        return wait.failure
    return wait


def dead_letter(attempt: Attempt, failure: Failure | None = None) -> Copy:
    """Dead-letter a message, with a reason in its headers if the log has none."""
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt}
    if failure is not None:
        headers[Header.ERROR_CLASS.value] = failure.error_class
        headers[Header.ERROR_MESSAGE.value] = failure.error_message
    return Copy(DEAD, f"attempt.{attempt}", MappingProxyType(headers))


def route_of(verdict: Reject | Copy) -> QueueRoute:
    """Where this verdict routes a message, if the broker's topology is up to date."""
    if verdict.retry_queue is not None:
        return QueueRoute(verdict.retry_queue.queue_name, verdict.retry_queue.delay_ms)
    if isinstance(verdict, Copy) and verdict.exchange == DEFAULT_EXCHANGE:
        return QueueRoute(verdict.routing_key, verdict.wait_ms)
    return QueueRoute(DEAD_LETTER_QUEUE)


def needs_quarantine(deliveries_before: int, *, database_was_unavailable: bool) -> bool:
    """Whether a message of the work, bulk or due queue is a poison message, to be quarantined.

    While the database is unavailable we requeue messages ourselves, and the broker counts that too.
    """
    return deliveries_before >= QUARANTINE_AFTER and not database_was_unavailable


def needs_renewal(deliveries_before: int) -> bool:
    """Whether to replace a message by a copy before the broker's limit applies."""
    return deliveries_before >= MAX_DELIVERIES


def crash_limit_reached(crashes: int) -> bool:
    """Whether a quarantined message has crashed its process too often."""
    return crashes >= QUARANTINE_DELIVERY_LIMIT


def quarantine(attempt: Attempt, crashes: int = 0) -> Copy:
    """Quarantine a message, or move it to the end of the quarantine."""
    counted = {Header.CRASHES.value: crashes} if crashes else {}
    return _copy(QUARANTINE_QUEUE, {Header.ATTEMPT.value: attempt, **counted})


def renew(queue: SourceQueue, attempt: Attempt) -> Copy:
    """Replace a message by a copy at the end of its queue."""
    return _copy(queue, {Header.ATTEMPT.value: attempt})


def return_unbegun(queue: SourceQueue, attempt: Attempt, deliveries_before: int) -> Requeue | Copy:
    """Return a message without an attempt, to its place in the queue if possible.

    The broker counts a requeue like a crash. So requeues alone must not reach QUARANTINE_AFTER.
    """
    if deliveries_before + 1 < QUARANTINE_AFTER:
        return Requeue()
    return renew(queue, attempt)


def park(parks: int, *, attempt: Attempt, hangs: bool) -> Copy:
    """Let a message wait elsewhere, because its org uses its share of the slots.

    The org may only be slow, so the message comes back after 1, 2 and 4 s. After that, or if the
    org hangs, it waits at the end of the bulk queue.
    """
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt, Header.PARKS.value: parks + 1}
    if parks < MAX_PARKS and not hangs:
        return replace(_copy(REQUEUED_QUEUE, headers), wait_ms=_FIRST_WAIT_MS * 2**parks)
    return _copy(BULK_QUEUE, headers)


def requeue_later(
    requeues: int, *, source: SourceQueue, attempt: Attempt, failure: Failure
) -> Copy:
    """What happens to a message that could not be attempted despite an available database.

    `requeues` includes this one. The wait doubles each time, from 1 s to 64 s. After MAX_REQUEUES
    the message is quarantined. If it cannot be attempted there either, it becomes a dead letter
    with the failure as its reason.
    """
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt, Header.REQUEUES.value: requeues}
    if requeues <= MAX_REQUEUES:
        wait_ms = min(_FIRST_WAIT_MS * 2 ** (requeues - 1), _MAX_WAIT_MS)
        return replace(_copy(REQUEUED_QUEUE, headers), wait_ms=wait_ms)
    if source is SourceQueue.QUARANTINE:
        return dead_letter(attempt, failure)
    return _copy(QUARANTINE_QUEUE, headers)


def _copy(queue: str, headers: dict[str, str | int]) -> Copy:
    return Copy(DEFAULT_EXCHANGE, queue, MappingProxyType(headers))


def _copy_for_retry(retry_queue: RetryStep) -> Copy:
    """Publish a copy for the retry queue, because rejecting here would dead-letter the message.

    As with a rejected message, the broker's bindings decide: the retry schedule may have changed.
    """
    # The attempt was made, so the next one starts without the counts before it.
    counts = MappingProxyType[str, str | int](
        {name.value: 0 for name in (Header.REQUEUES, Header.CRASHES, Header.PARKS)}
    )
    return Copy(FAILED, routing_key(retry_queue.attempt), counts, retry_queue=retry_queue)
