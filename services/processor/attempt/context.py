from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import perf_counter
from types import TracebackType
from typing import Self

from ringback.contract.json_text import sanitize_text
from ringback.contract.redaction.scrub import scrub_secrets
from ringback.contract.status import AttemptOutcome
from services.processor.consume.message import Delivery
from services.processor.spans import MessageSpan


class Stopwatch:
    """Adds up the time while it is entered. `seconds` is None until the first time."""

    __slots__ = ("_began", "seconds")

    def __init__(self) -> None:
        self._began = 0.0
        self.seconds: float | None = None

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = (self.seconds or 0.0) + perf_counter() - self._began


_LONGEST_MESSAGE = 2_000
_LONGEST_CLASS = 200


@dataclass(frozen=True, slots=True)
class Effect:
    """A statement that commits with the attempt, or not at all.

    `order` sorts the effects of one commit, so that two commits lock rows in the same order. `when`
    is the outcome with which it commits. An effect of a duplicate commits only if the webhook
    differs from its first one.
    """

    statement: str
    arguments: tuple[object, ...]
    order: tuple[str, ...] = ()
    when: AttemptOutcome = AttemptOutcome.COMPLETED


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: AttemptOutcome
    error_class: str | None = None
    error_message: str | None = None
    effects: tuple[Effect, ...] = ()


DUPLICATE = Outcome(AttemptOutcome.DUPLICATE)


def completed(effects: tuple[Effect, ...] = ()) -> Outcome:
    return Outcome(AttemptOutcome.COMPLETED, effects=effects)


def failed(error_class: str, error_message: str, *, permanent: bool = False) -> Outcome:
    """A failed attempt. Its texts are cut and cleaned, so any store accepts them."""
    return Outcome(
        AttemptOutcome.PERMANENT if permanent else AttemptOutcome.FAILED,
        error_class=sanitize_text(error_class)[:_LONGEST_CLASS],
        error_message=sanitize_text(error_message)[:_LONGEST_MESSAGE],
    )


def with_note(outcome: Outcome, note: str) -> Outcome:
    """The outcome with a sentence after its error message, which is cut to make room for it."""
    message = (outcome.error_message or "")[: _LONGEST_MESSAGE - len(note) - 1]
    return replace(outcome, error_message=f"{message} {note}")


def without_hidden(outcome: Outcome, hidden: Sequence[str]) -> Outcome:
    """The outcome without anything in its message that redaction removed from the event."""
    if outcome.error_message is None or not hidden:
        return outcome
    message = scrub_secrets(outcome.error_message, hidden)
    return replace(outcome, error_message=message[:_LONGEST_MESSAGE])


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """An attempt in progress; `handling` measures the time while handlers run."""

    delivery: Delivery
    span: MessageSpan
    started_at: datetime
    handling: Stopwatch = field(default_factory=Stopwatch)
