"""The one place that decides what becomes of a message."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from ringback.contract.envelope import Header
from ringback.contract.ladder import Attempt, Ladder, Rung
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import (
    DEAD,
    DEAD_LETTER_QUEUE,
    SUSPECT_DELIVERY_LIMIT,
    SUSPECT_QUEUE,
)

SUSPECT_AFTER = 3
"""Deliveries without an answer after which a message is run alone: it may be what kills us."""

DEFAULT_EXCHANGE = ""


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
    is_suspect_now = isinstance(verdict, Forward) and verdict.exchange == DEFAULT_EXCHANGE
    return Move(SUSPECT_QUEUE if is_suspect_now else DEAD_LETTER_QUEUE)


def is_suspect(deliveries_before: int, *, database_was_away: bool) -> bool:
    """Whether a message of the work queue is to be run alone.

    While the database is away we return messages ourselves, and those returns count as well.
    """
    return deliveries_before >= SUSPECT_AFTER and not database_was_away


def is_hopeless(deliveries_before: int) -> bool:
    """Whether a message of the suspects' queue has been run alone often enough.

    The limit of the queue itself would allow one more: it counts what comes after a delivery.
    """
    return deliveries_before >= SUSPECT_DELIVERY_LIMIT


def set_aside(attempt: Attempt) -> Forward:
    """Move a suspect to its own queue."""
    headers = MappingProxyType[str, str | int]({Header.ATTEMPT.value: attempt})
    return Forward(DEFAULT_EXCHANGE, SUSPECT_QUEUE, headers)


def _climb(attempt: Attempt, rung: Rung | None) -> Forward:
    """Send a suspect to its rung by hand: what its own queue rejects goes to the dead letters."""
    return bury(attempt) if rung is None else Forward(DEFAULT_EXCHANGE, rung.queue_name, rung=rung)
