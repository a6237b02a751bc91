"""A message, in a type that does not depend on the AMQP library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringback.contract.envelope import Header
from ringback.contract.retry_schedule import FIRST_ATTEMPT, Attempt, attempt_of, routing_key


@dataclass(frozen=True, slots=True)
class Message:
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
    def requeues(self) -> int:
        """How often it was requeued without an attempt while the database was available."""
        return self._count(Header.REQUEUES)

    @property
    def parks(self) -> int:
        """How often it was parked before this attempt."""
        return self._count(Header.PARKS)

    @property
    def free_failures(self) -> int:
        """How often a failed call of it used no attempt, because a breaker was open."""
        return self._count(Header.FREE_FAILURES)

    def _count(self, header: str) -> int:
        count = self.headers.get(header, 0)
        return count if isinstance(count, int) else 0


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
