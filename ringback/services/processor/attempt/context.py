"""One attempt: the webhook, the span and the times."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Self

from ringback.contract.envelope import Envelope, InvalidEnvelope, open_envelope
from ringback.contract.event import Event, InvalidEvent, read_event
from ringback.contract.redaction.redaction import Redacted, Redaction
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.services.processor.consume.message import Message, attempt_due
from ringback.services.processor.spans import MessageSpan


class Stopwatch:
    """Adds up the time while it is entered. `seconds` is None until the first time."""

    __slots__ = ("_started", "seconds")

    def __init__(self) -> None:
        self._started = 0.0
        self.seconds: float | None = None

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = (self.seconds or 0.0) + perf_counter() - self._started


@dataclass(slots=True)
class AttemptContext:
    """A webhook in flight, and the attempt that is due.

    `message` has the exact body and headers. `event` is for the handlers; `redacted` is the form
    that may be stored. `schedule` is the retry schedule that applies: the endpoint's or the
    setting's, and after a failure that of the handler, if it has its own. `handling` measures the
    time while handlers run. `answer` is JSON: what the receiver of a forward answered. `order_key`
    is the key of an ordered webhook.
    """

    message: Message
    envelope: Envelope
    event: Event
    redacted: Redacted
    attempt: Attempt
    schedule: RetrySchedule
    span: MessageSpan
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended_at: datetime | None = None
    order_key: str | None = None
    handling: Stopwatch = field(default_factory=Stopwatch)
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A message that cannot be attempted, and why."""

    reason: str


def open_attempt(
    message: Message, redaction: Redaction, span: MessageSpan, schedule: RetrySchedule
) -> AttemptContext | Undeliverable:
    """Read a message. `schedule` applies if its endpoint has no own one. Never raises."""
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    if isinstance(envelope, InvalidEnvelope):
        return Undeliverable(envelope.reason)
    event = read_event(message.body)
    if isinstance(event, InvalidEvent):
        return Undeliverable(event.value)
    return AttemptContext(
        message=message,
        envelope=envelope,
        event=event,
        redacted=redaction.of(event.document),
        attempt=attempt_due(message),
        schedule=envelope.retry_schedule or schedule,
        span=span,
    )
