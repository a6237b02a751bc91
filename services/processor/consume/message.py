"""Turns a message of the broker into a webhook to attempt, or into the reason why it is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringback.contract.envelope import Envelope, Header, InvalidEnvelope, open_envelope
from ringback.contract.event import Event, InvalidEvent, read_event
from ringback.contract.redaction.redaction import Redacted, Redaction
from ringback.contract.retry_schedule import FIRST_ATTEMPT, Attempt, attempt_of, routing_key


@dataclass(frozen=True, slots=True)
class Message:
    """A message without the broker's library."""

    body: bytes
    routing_key: str
    message_id: str | None
    type: str | None
    headers: Mapping[str, Any]
    exchange: str = ""

    @property
    def deliveries_before(self) -> int:
        """How often the broker delivered it before without an answer."""
        return self._count("x-delivery-count")

    @property
    def crashes(self) -> int:
        """How often it was not settled in quarantine, in earlier copies and this one."""
        return self._count(Header.CRASHES) + self.deliveries_before

    @property
    def returns(self) -> int:
        """How often it was returned without an attempt while the database was available."""
        return self._count(Header.REQUEUES)

    def _count(self, header: str) -> int:
        count = self.headers.get(header, 0)
        return count if isinstance(count, int) else 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook in flight, and the attempt that is due.

    `event` is for the handlers; `redacted` is the form that may be stored.
    """

    envelope: Envelope
    event: Event
    redacted: Redacted
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A message that cannot be attempted; `reason` is a sentence."""

    reason: str


def open_delivery(message: Message, redaction: Redaction) -> Delivery | Undeliverable:
    """Read a message. Never raises, whatever it contains."""
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    if isinstance(envelope, InvalidEnvelope):
        return Undeliverable(envelope.reason)
    event = read_event(message.body)
    if isinstance(event, InvalidEvent):
        return Undeliverable(event.value)
    return Delivery(
        envelope=envelope,
        event=event,
        redacted=redaction.of(event.document),
        attempt=attempt_due(message),
    )


def attempt_due(message: Message) -> Attempt:
    """The attempt that is due: by the routing key, otherwise by the header."""
    by_key = attempt_of(message.routing_key)
    if by_key is not None:
        return by_key
    by_header = message.headers.get(Header.ATTEMPT)
    if not isinstance(by_header, int):
        return FIRST_ATTEMPT
    # The bounds of a routing key apply: a number beyond them could not be recorded.
    return attempt_of(routing_key(Attempt(by_header))) or FIRST_ATTEMPT
