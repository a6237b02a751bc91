"""The one place that decides what becomes of a message."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from ringback.contract.envelope import Header
from ringback.contract.ladder import Attempt, Ladder, Rung
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import (
    DEAD,
    DEAD_LETTER_QUEUE,
    DEFAULT_EXCHANGE,
    RETURNED_QUEUE,
    SUSPECT_DELIVERY_LIMIT,
    SUSPECT_QUEUE,
    WORK_QUEUE,
)
from services.processor.outcome import failed

SUSPECT_AFTER = 3
"""Deliveries without an answer after which a message is run alone: it may be what kills us."""

MAX_DELIVERIES = 10
"""Deliveries after which a message is replaced by a copy, which the broker counts from 0.

Every way back to a queue counts there: our returns while the database is away, lost connections,
stops and crashes. The broker's own limit (100 on the work queue, 20 on the dead letters' by default
of RabbitMQ 4) would lose the message or hold it for good.
"""

MAX_RETURNS = 10
"""Returns without an attempt, the database being there, after which a message is run alone."""

_FIRST_WAIT_MS = 1_000
_MAX_WAIT_MS = 64_000


class Lane(StrEnum):
    """The queue that a message came by."""

    WORK = "work"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """It is finished."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The attempt failed. The broker moves it to its rung, or without one to the dead letters."""

    rung: Rung | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """Publish it elsewhere, and acknowledge it once that is confirmed."""

    exchange: str
    routing_key: str
    headers: MappingProxyType[str, str | int] = field(default_factory=lambda: MappingProxyType({}))
    rung: Rung | None = None
    wait_ms: int | None = None
    """After which the broker moves it on; for the queue of returned messages."""


Verdict = Acknowledge | Reject | Forward


@dataclass(frozen=True, slots=True)
class Move:
    """To which queue a message goes, and how long it waits there if that is known."""

    queue: str
    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed, in the words of the log."""

    error_class: str
    error_message: str


UNDELIVERABLE = "undeliverable"
"""The error class of what could not be attempted."""

CRASHED = Failure("process_crash", "The process died each time it ran this webhook, also alone.")


def decide(outcome: AttemptOutcome, *, lane: Lane, attempt: Attempt, ladder: Ladder) -> Verdict:
    """What becomes of a message whose attempt has this outcome, now or in an earlier delivery.

    `lane` is WORK only if its routing key is that of its attempt: by it the broker finds the rung.
    The reason of a failure is in the log by now, so nothing carries it along.
    """
    match outcome:
        case AttemptOutcome.COMPLETED | AttemptOutcome.DUPLICATE:
            return Acknowledge()
        case AttemptOutcome.PERMANENT:
            return bury(attempt)
        case AttemptOutcome.FAILED:
            rung = ladder.rung_after(attempt)
            return Reject(rung) if lane is Lane.WORK else _climb(attempt, rung)
        case _:
            assert_never(outcome)


def bury(attempt: Attempt, failure: Failure | None = None) -> Forward:
    """Send a message to the dead letters; with a reason beside it where the log has none."""
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt}
    if failure is not None:
        headers[Header.ERROR_CLASS.value] = failure.error_class
        headers[Header.ERROR_MESSAGE.value] = failure.error_message
    return Forward(DEAD, f"attempt.{attempt}", MappingProxyType(headers))


def move_of(verdict: Reject | Forward) -> Move:
    """Where a message goes by this verdict, if the broker stands as the ladder says."""
    if verdict.rung is not None:
        return Move(verdict.rung.queue_name, verdict.rung.delay_ms)
    if isinstance(verdict, Forward) and verdict.exchange == DEFAULT_EXCHANGE:
        return Move(verdict.routing_key, verdict.wait_ms)
    return Move(DEAD_LETTER_QUEUE)


def is_suspect(deliveries_before: int, *, database_was_away: bool) -> bool:
    """Whether a message of the work queue is to be run alone.

    While the database is away we return messages ourselves, and those returns count as well.
    """
    return deliveries_before >= SUSPECT_AFTER and not database_was_away


def is_worn(deliveries_before: int) -> bool:
    """Whether a message must be replaced by a copy before the broker's limit ends it."""
    return deliveries_before >= MAX_DELIVERIES


def is_hopeless(crashes: int) -> bool:
    """Whether a message of the suspects' queue has been run alone often enough."""
    return crashes >= SUSPECT_DELIVERY_LIMIT


def set_aside(attempt: Attempt, crashes: int = 0) -> Forward:
    """Move a suspect to its own queue, or to the end of it."""
    counted = {Header.CRASHES.value: crashes} if crashes else {}
    return _copy(SUSPECT_QUEUE, {Header.ATTEMPT.value: attempt, **counted})


def renew(attempt: Attempt) -> Forward:
    """Replace a message of the work queue by a copy at the end of it."""
    return _copy(WORK_QUEUE, {Header.ATTEMPT.value: attempt})


def give_up_turn(returns: int, *, lane: Lane, attempt: Attempt, failure: Failure) -> Forward:
    """What becomes of a message that could not be attempted, the database being there.

    `returns` counts this one. It comes again later and later, then it is run alone, and then it is
    a dead letter with the failure for its reason.
    """
    headers: dict[str, str | int] = {Header.ATTEMPT.value: attempt, Header.RETURNS.value: returns}
    if returns <= MAX_RETURNS:
        wait_ms = min(_FIRST_WAIT_MS * 2 ** (returns - 1), _MAX_WAIT_MS)
        return replace(_copy(RETURNED_QUEUE, headers), wait_ms=wait_ms)
    return _copy(SUSPECT_QUEUE, headers) if lane is Lane.WORK else bury(attempt, failure)


def failure_of(exc: BaseException) -> Failure:
    """The failure that an error of ours is, cut and cleaned for a header and for the log."""
    outcome = failed(type(exc).__qualname__, str(exc) or "There is no message.")
    return Failure(str(outcome.error_class), str(outcome.error_message))


def _copy(queue: str, headers: dict[str, str | int]) -> Forward:
    return Forward(DEFAULT_EXCHANGE, queue, MappingProxyType(headers))


def _climb(attempt: Attempt, rung: Rung | None) -> Forward:
    """Send a suspect to its rung by hand: what its own queue rejects goes to the dead letters."""
    return bury(attempt) if rung is None else Forward(DEFAULT_EXCHANGE, rung.queue_name, rung=rung)
