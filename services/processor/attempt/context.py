"""One attempt: the webhook, the span, the times, and the result of its handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Self

from ringback.contract.envelope import Envelope, InvalidEnvelope, open_envelope
from ringback.contract.event import Event, InvalidEvent, read_event
from ringback.contract.json_text import sanitize_text
from ringback.contract.redaction.redaction import Redacted, Redaction
from ringback.contract.redaction.scrub import scrub_secrets
from ringback.contract.retry_schedule import Attempt
from ringback.contract.status import AttemptOutcome
from services.processor.consume.message import Message, attempt_due
from services.processor.spans import MessageSpan

_MAX_ERROR_MESSAGE = 2_000
_MAX_ERROR_CLASS = 200


class Stopwatch:
    """Adds up the time while it is entered. `seconds` is None until the first time."""

    __slots__ = ("_started", "seconds")

    def __init__(self) -> None:
        self._started = 0.0
        self.seconds: float | None = None

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = (self.seconds or 0.0) + perf_counter() - self._started


@dataclass(slots=True)
class AttemptContext:
    """A webhook in flight, and the attempt that is due.

    `event` is for the handlers; `redacted` is the form that may be stored. `handling` measures the
    time while handlers run.
    """

    envelope: Envelope
    event: Event
    redacted: Redacted
    attempt: Attempt
    span: MessageSpan
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    handling: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A message that cannot be attempted; `reason` is a sentence."""

    reason: str


def open_attempt(
    message: Message, redaction: Redaction, span: MessageSpan
) -> AttemptContext | Undeliverable:
    """Read a message. Never raises, whatever it contains."""
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    if isinstance(envelope, InvalidEnvelope):
        return Undeliverable(envelope.reason)
    event = read_event(message.body)
    if isinstance(event, InvalidEvent):
        return Undeliverable(event.value)
    return AttemptContext(
        envelope=envelope,
        event=event,
        redacted=redaction.of(event.document),
        attempt=attempt_due(message),
        span=span,
    )


CallUpdate = Mapping[str, object]
"""The values that an event gives its call, as `merge_voice_calls` reads them.

They commit with the attempt, or not at all. Those of a duplicate commit only if the event ends its
call and differs from the first one.
"""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The outcome of an attempt, with its error or its update of the call."""

    outcome: AttemptOutcome
    error_class: str | None = None
    error_message: str | None = None
    call_update: CallUpdate | None = None

    def with_note(self, note: str) -> "AttemptResult":
        """Append a sentence to the error message, which is cut to make room for it."""
        message = (self.error_message or "")[: _MAX_ERROR_MESSAGE - len(note) - 1]
        return replace(self, error_message=f"{message} {note}")

    def without(self, hidden: Sequence[str]) -> "AttemptResult":
        """Remove from the message everything that redaction removed from the event."""
        if self.error_message is None or not hidden:
            return self
        message = scrub_secrets(self.error_message, hidden)
        return replace(self, error_message=message[:_MAX_ERROR_MESSAGE])


DUPLICATE = AttemptResult(AttemptOutcome.DUPLICATE)


def completed(call_update: CallUpdate | None = None) -> AttemptResult:
    return AttemptResult(AttemptOutcome.COMPLETED, call_update=call_update)


def failed(error_class: str, error_message: str, *, permanent: bool = False) -> AttemptResult:
    """A failed attempt. Its texts are cut and cleaned, so any store accepts them."""
    return AttemptResult(
        AttemptOutcome.PERMANENT if permanent else AttemptOutcome.FAILED,
        error_class=sanitize_text(error_class)[:_MAX_ERROR_CLASS],
        error_message=sanitize_text(error_message)[:_MAX_ERROR_MESSAGE],
    )
