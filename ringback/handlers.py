"""The API for handlers. Name the module in RINGBACK_HANDLERS.

    from ringback.handlers import Event, PermanentFailure, handles

    @handles("end-of-call-report")
    async def book(event: Event) -> None:
        if "artifact" not in event.message:
            raise PermanentFailure("A report without an artifact cannot be booked.")
        await crm.book(event.call_id, idempotency_key=str(event.job_id))

A handler that returns has finished the event. If it raises, it is tried again after the next delay
of the retry schedule. A process can die between a handler's effect and the record of it, so a
handler that acts outside the database may run twice for one event: pass `job_id` on as an
idempotency key.

To see the services that a handler calls in the event's trace, send `event.trace.traceparent` to
them as the header `traceparent`. With your own OpenTelemetry SDK, spans begin in the context
that `TraceContextTextMapPropagator().extract({"traceparent": event.trace.traceparent})` gives.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from ringback.contract.identity import JobId
from ringback.contract.trace_context import TraceContext, new_trace_context

ANY_TYPE = "*"

_MARK = "__ringback_handles__"


class PermanentFailure(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # the name that handlers raise; it is no bug
    """No attempt can help: the event becomes a dead letter at once."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a call, as a handler gets it.

    `message` is the parsed object that contains the type. `attempt` is 1 for the first. `trace` is
    the span of this handler run.
    """

    job_id: JobId
    org_id: UUID
    endpoint_id: str
    type: str
    call_id: str | None
    message: Mapping[str, Any]
    attempt: int
    max_attempts: int
    received_at: datetime
    trace: TraceContext = field(default_factory=new_trace_context)


Handler = Callable[..., Awaitable[None]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, slots=True)
class Handles:
    """The event types and options of a handler."""

    types: tuple[str, ...]
    transaction: bool

    def wants(self, event_type: str) -> bool:
        return ANY_TYPE in self.types or event_type in self.types


def handles(*types: str, transaction: bool = False) -> Callable[[H], H]:
    """Declare a coroutine function as the handler of event types; `*` means all types.

    With `transaction`, the second argument is an asyncpg connection inside the transaction that
    finishes the event: what the handler writes there commits exactly once together with the event's
    status, or not at all. A statement on it is cancelled after 10 s, unless it sets its own
    `timeout`, and then the handler has failed. It may use savepoints, settings, temporary tables
    and locks. The attempt fails if the handler commits or rolls back that transaction, closes the
    connection, leaves a statement running on it, or returns with another role or search_path.

    Raises TypeError for a function that is not `async def`, or for missing types.
    """
    if not types or not all(types) or any(callable(name) for name in types):
        raise TypeError('handles() takes the event types, e.g. @handles("end-of-call-report")')

    def mark(function: H) -> H:
        is_async: bool = inspect.iscoroutinefunction(function)
        if not is_async:
            raise TypeError(f"The handler {function!r} must be declared with async def")
        setattr(function, _MARK, Handles(types=types, transaction=transaction))
        return function

    return mark


def declared(function: object) -> Handles | None:
    """The declaration of a function; None if it is not a handler."""
    # Not getattr: an object in a module may answer that with anything, or with an error.
    mark = inspect.getattr_static(function, _MARK, None)
    return mark if isinstance(mark, Handles) else None
