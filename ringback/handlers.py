"""The API for handlers, and for functions that answer questions.

Name the module of handlers in RINGBACK_HANDLERS.

    from ringback.handlers import Event, PermanentFailure, handles, on_start, on_stop

    @on_start
    async def open_session() -> None:
        await crm.open()

    @on_stop
    async def close_session() -> None:
        await crm.close()

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

Name the module of functions that answer in RINGBACK_ANSWERS (docs/how-to/answer-questions.md).

    from ringback.handlers import Question, answers

    @answers("assistant-request")
    def choose(question: Question) -> dict[str, object]:
        return {"assistantId": assistant_of(question.message["call"])}
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar
from uuid import UUID

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry.spec import QUESTION_TYPES
from ringback.contract.trace_context import TraceContext, new_trace_context

ANY_TYPE = "*"

_MARK = "__ringback_handles__"
_HOOK_MARK = "__ringback_hook__"
_ANSWERS_MARK = "__ringback_answers__"


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

Hook = Callable[[], Awaitable[None] | None]
HookT = TypeVar("HookT", bound=Hook)


@dataclass(frozen=True, slots=True)
class Handles:
    """The event types and options of a handler."""

    types: tuple[str, ...]
    transaction: bool
    retry_schedule: RetrySchedule | None = None
    ordered_by: str | None = None

    def wants(self, event_type: str) -> bool:
        return ANY_TYPE in self.types or event_type in self.types


def handles(
    *types: str,
    transaction: bool = False,
    retry_schedule: str | None = None,
    ordered_by: Literal["call_id"] | None = None,
) -> Callable[[H], H]:
    """Declare a coroutine function as the handler of event types; `*` means all types.

    With `transaction`, the second argument is an asyncpg connection inside the transaction that
    finishes the event: what the handler writes there commits exactly once together with the event's
    status, or not at all. A statement on it is cancelled after 10 s, unless it sets its own
    `timeout`, and then the handler has failed. It may use savepoints, settings, temporary tables
    and locks. The attempt fails if the handler commits or rolls back that transaction, closes the
    connection, leaves a statement running on it, or returns with another role or search_path.

    `retry_schedule`, such as "10s,1m,1h", has the delays after this handler failed, in place of the
    endpoint's and of RINGBACK_RETRY_SCHEDULE.

    With `ordered_by="call_id"`, the webhooks of a call that have such a handler run one at a time,
    in the order of their job ids. While one runs or waits for a retry, later ones wait for it.

    Raises TypeError for a function that is not `async def` or has @handles(…) already, or for
    missing types. Raises ValueError for a wrong retry schedule or another `ordered_by`.
    """
    if not types or not all(types) or any(callable(name) for name in types):
        raise TypeError('handles() takes the event types, e.g. @handles("end-of-call-report")')

    if ordered_by not in {None, "call_id"}:
        raise ValueError(f'ordered_by must be "call_id" or left out, not {ordered_by!r}')
    schedule = None if retry_schedule is None else RetrySchedule.parse(retry_schedule)

    def mark(function: H) -> H:
        is_async: bool = inspect.iscoroutinefunction(function)
        if not is_async:
            raise TypeError(f"The handler {name_of(function)} must be declared with async def")
        if declared(function) is not None:
            raise TypeError(f"Name all event types of {name_of(function)} in one @handles(…)")
        setattr(function, _MARK, Handles(types, transaction, schedule, ordered_by))
        return function

    return mark


def declared(function: object) -> Handles | None:
    """The declaration of a function; None if it is not a handler."""
    # Not getattr: an object in a module may answer that with anything, or with an error.
    mark = inspect.getattr_static(function, _MARK, None)
    return mark if isinstance(mark, Handles) else None


class HookTime(StrEnum):
    """When a hook runs. The value is the name of its decorator."""

    START = "on_start"
    STOP = "on_stop"


def on_start(function: HookT) -> HookT:
    """Run a function without arguments once in each processor, before its first webhook.

    It may be `async def`. All hooks run in the event loop of the handlers, in the order of their
    modules and lines. If one raises, or the hooks do not end within 30 s, the processor does not
    start. If a database or service that a hook needs is unavailable, the hook may raise, or go on.
    """
    return _marked(function, HookTime.START)


def on_stop(function: HookT) -> HookT:
    """Run a function without arguments once in each processor, after its last webhook.

    It may be `async def`. The hooks run in the reverse order of their modules and lines, and get
    5 s together. An error is logged, and the others still run. No hook runs after a crash.
    """
    return _marked(function, HookTime.STOP)


def _marked(function: HookT, time: HookTime) -> HookT:
    if declared_hook(function) is not None:
        raise TypeError(f"The hook {function!r} is declared twice: remove one of its decorators")
    setattr(function, _HOOK_MARK, time)
    return function


def declared_hook(function: object) -> HookTime | None:
    """When a function runs as a hook; None if it is not one."""
    mark = inspect.getattr_static(function, _HOOK_MARK, None)
    return mark if isinstance(mark, HookTime) else None


def name_of(function: Callable[..., Any]) -> str:
    """A function's module and name; if it has none, those of its type."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a live call, as a function with @answers gets it.

    `id` is the same for a repeated question, whichever gateway relays it: use it as an idempotency
    key. `message` is the parsed object that contains the type. `trace` is the span of the question.
    """

    id: str
    type: str
    org_id: UUID
    endpoint_id: str
    call_id: str | None
    message: Mapping[str, Any]
    trace: TraceContext = field(default_factory=new_trace_context)


AnswerFunction = Callable[[Question], Any]
A = TypeVar("A", bound=AnswerFunction)


def answers(*types: str) -> Callable[[A], A]:
    """Declare a function as the one that answers questions of these types.

    It returns a dict, which becomes JSON, or bytes for `voice-request`. A function that is not
    `async def` runs in a thread, so it may block. If it raises, or returns too late, Vapi gets the
    fallback, and a function that is `async def` is cancelled.

    Raises TypeError if there are no types, or if one is not a question.
    """
    unknown = [name for name in types if name not in QUESTION_TYPES]
    if not types or unknown:
        known = ", ".join(sorted(QUESTION_TYPES))
        raise TypeError(f"answers() takes types of questions ({known}); it got {list(types)}")

    def mark(function: A) -> A:
        setattr(function, _ANSWERS_MARK, types)
        return function

    return mark


def answered_types(function: object) -> tuple[str, ...]:
    """The types that a function answers; none if it is not declared with @answers."""
    mark = inspect.getattr_static(function, _ANSWERS_MARK, ())
    return mark if isinstance(mark, tuple) else ()
