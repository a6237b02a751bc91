"""The parent and the links of a message's trace. Pure; any message gives a result."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ringback.contract.envelope import Header
from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import FIRST_ATTEMPT, Attempt
from ringback.contract.topology import REQUEUED_KEY
from ringback.contract.trace_context import TraceContext, trace_context_of
from ringback.runtime.observability.tracing import Link
from ringback.services.processor.consume.message import Message, attempt_due

ORIGIN = "origin"
PREVIOUS_ATTEMPT = "previous_attempt"
RETRY_REQUEST = "retry_request"

_ABOVE_ALL_ATTEMPTS = 1_000_000
"""More than any number of an attempt."""


@dataclass(frozen=True, slots=True)
class TraceParentage:
    """Without a parent, the span begins a trace. `published` comes from the message's header."""

    published: TraceContext | None
    parent: TraceContext | None
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class PreviousAttempt:
    """The last recorded attempt of a webhook with a number below this one."""

    job_id: UUID
    attempt: int


def trace_parentage(message: Message, *, is_dead_letter: bool = False) -> TraceParentage:
    """Make a webhook's first attempt a child of its publish, if a gateway published it.

    A message that has waited begins a new trace, because no trace backend keeps a trace open for
    the minutes of a retry delay, or the days until a person retries.
    """
    published = _context(message, Header.TRACEPARENT)
    if published is None:
        return TraceParentage(None, None, ())
    if message.headers.get(Header.RETRY_OF):
        origin = _context(message, Header.ORIGIN)
        links = (Link(published, RETRY_REQUEST),)
        return TraceParentage(published, None, (*links, Link(origin, ORIGIN)) if origin else links)
    is_first = attempt_due(message) == FIRST_ATTEMPT and not is_dead_letter
    has_parent = is_first and message.routing_key != REQUEUED_KEY
    return TraceParentage(published, published if has_parent else None, (Link(published, ORIGIN),))


def previous_of_attempt(
    job_id: JobId, attempt: Attempt, retry_of: JobId | None
) -> PreviousAttempt | None:
    """Where to look for the attempt before this one; None if there was none.

    The first attempt of a retry follows the last one of the webhook that was retried.
    """
    if attempt > FIRST_ATTEMPT:
        return PreviousAttempt(job_id, attempt)
    return None if retry_of is None else PreviousAttempt(retry_of, _ABOVE_ALL_ATTEMPTS)


def last_of_dead_letter(job_id: UUID) -> PreviousAttempt:
    """Where to look for the last attempt of a dead letter."""
    return PreviousAttempt(job_id, _ABOVE_ALL_ATTEMPTS)


def _context(message: Message, header: Header) -> TraceContext | None:
    state = message.headers.get(Header.TRACESTATE) if header is Header.TRACEPARENT else None
    return trace_context_of(_text(message.headers.get(header)), _text(state))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
