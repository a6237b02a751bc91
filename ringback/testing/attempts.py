"""One attempt of handlers, with the code that the processor runs."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import orjson

from ringback.contract import event as contract
from ringback.contract.identity import JobId, new_job_id
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.contract.topology import DEAD_LETTER_QUEUE
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event, Handler
from ringback.outgoing.registry import DESTINATIONS
from ringback.services.processor.attempt.handlers import HandlerSet, declared_in
from ringback.services.processor.attempt.hooks import run_start_hooks, run_stop_hooks
from ringback.services.processor.attempt.policy import (
    Copy,
    Reject,
    SourceQueue,
    Verdict,
    decide,
    route_of,
)
from ringback.services.processor.attempt.result import AttemptResult, Wait
from ringback.services.processor.attempt.run_handlers import run_handlers
from ringback.testing.recorder import Effect, Recorder

Handlers = Handler | Sequence[Handler] | ModuleType
Webhook = bytes | Path | Mapping[str, Any]

_ORG = UUID("00000000-0000-0000-0000-000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What an attempt did, and what the processor does next.

    `error` is what the handler raised; class and message are as the delivery log would have them.
    `effects` are the statements of transactional handlers; empty after a failure.
    """

    outcome: AttemptOutcome | None
    """None if no attempt was used: a destination is unavailable (ringback.outgoing), or the webhook
    is ordered and waits for another one of its call. Only in that case `retry_in_s` is None too."""
    effects: tuple[Effect, ...]
    error: BaseException | None
    error_class: str | None
    error_message: str | None
    retry_in_s: float | None
    """After how long it is tried again; None if it is not."""
    is_dead_letter: bool
    event: Event


async def attempt(
    handlers: Handlers,
    webhook: Webhook,
    *,
    attempt: int = 1,
    schedule: str = "2s,4s,8s",
    timeout_s: float = 30.0,
    org_id: UUID = _ORG,
    endpoint_id: str = "default",
    job_id: JobId | None = None,
    database_url: str | None = None,
) -> Attempted:
    """Run the handlers that take a webhook's type, of those given: one, several, or a module's.

    `webhook` is a body, a file with one, or an object such as `{"message": {"type": "hang"}}`.
    Without `database_url`, a transactional handler gets a connection that records its statements
    and finds no rows. With it, the processor's role attempts the webhook in that database, which is
    migrated: effects and attempt commit or roll back together. Repeat `job_id` to deliver the same
    webhook again. Raises ValueError if the webhook is not an event, or no handler takes its type.
    """
    body = _body(webhook)
    read = _read(body)
    parsed = RetrySchedule.parse(schedule)
    event = Event(
        job_id=job_id or new_job_id(),
        org_id=org_id,
        endpoint_id=endpoint_id,
        type=read.type,
        call_id=read.call_id,
        message=read.message,
        attempt=attempt,
        max_attempts=parsed.max_attempts,
        received_at=datetime.now(UTC),
    )
    watch = _Watch(event.trace)
    wanted = _wanted(handlers, event.type, watch)
    try:
        if database_url is None:
            effects, result = await _without_database(
                wanted, event, watch, timeout_s, hidden=DEFAULT_REDACTION.of(read.document).hidden
            )
        else:
            about = {"schedule": parsed, "timeout_s": timeout_s, "database_url": database_url}
            effects, result = await _in_database(wanted, event, body, **about)
    finally:
        # The event loop may end after this.
        await DESTINATIONS.close_idle()
    return _attempted(event, parsed, result, effects, watch.error)


def attempt_sync(handlers: Handlers, webhook: Webhook, **options: Any) -> Attempted:
    """Run `attempt` in a test that is not `async def`."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(attempt(handlers, webhook, **options))


@asynccontextmanager
async def started(*modules: ModuleType) -> AsyncGenerator[None, None]:
    """Run the modules' hooks as a processor does: @on_start first, @on_stop at the end.

    Raises HandlersError if a hook with @on_start fails, and an ExceptionGroup with the errors of
    hooks with @on_stop.
    """
    loaded = declared_in(*modules)
    await run_start_hooks(loaded.on_start)
    try:
        yield
    finally:
        errors = await run_stop_hooks(loaded.on_stop)
    if errors:
        raise BaseExceptionGroup("Hooks with @on_stop failed", [error for _, error in errors])


def reset_destinations() -> None:
    """Close all breakers, as in a new processor. The pytest plugin does so before each test."""
    DESTINATIONS.reset()


class _Watch:
    """Watches the handlers of an attempt without tracing them, and keeps the error."""

    def __init__(self, trace: TraceContext) -> None:
        self._trace = trace
        self.error: BaseException | None = None

    def begin(self, handler: Handler) -> TraceContext:
        del handler
        return self._trace

    def end(self, error_type: str | None = None) -> None:
        del error_type

    def ignores_cancellation(self, event: Event) -> None:
        del event

    def observed(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def observing(*arguments: Any) -> None:
            try:
                await handler(*arguments)
            except BaseException as exc:
                self.error = exc
                raise

        return observing


def _body(webhook: Webhook) -> bytes:
    match webhook:
        case bytes():
            return webhook
        case Path():
            return webhook.read_bytes()
        case _:
            return orjson.dumps(dict(webhook))


def _read(body: bytes) -> contract.Event:
    match contract.read_event(body):
        case contract.InvalidEvent() as invalid:
            raise ValueError(invalid.value)
        case read:
            return read


def _wanted(handlers: Handlers, event_type: str, watch: _Watch) -> HandlerSet:
    if isinstance(handlers, ModuleType):
        handlers = declared_in(handlers).handlers
    listed = handlers if isinstance(handlers, Sequence) else (handlers,)
    wanted = HandlerSet([watch.observed(handler) for handler in listed])
    selection = wanted.for_type(event_type)
    if not selection.plain and not selection.transactional:
        raise ValueError(
            f"No handler takes the type {event_type}. Name it in @handles(…), or pass "
            "another webhook."
        )
    return wanted


async def _in_database(
    handlers: HandlerSet, event: Event, body: bytes, **about: Any
) -> tuple[list[Effect], AttemptResult | Wait]:
    # Imported here: it needs the packages of a server.
    from ringback.testing.in_database import (  # ruff: ignore[import-outside-top-level]
        attempt_in_database,
    )

    return await attempt_in_database(handlers, event, body, **about)


async def _without_database(
    handlers: HandlerSet, event: Event, watch: _Watch, timeout_s: float, *, hidden: Sequence[str]
) -> tuple[list[Effect], AttemptResult | Wait]:
    selection = handlers.for_type(event.type)
    recorder = Recorder()
    run = functools.partial(
        run_handlers, timeout_s=timeout_s, watch=watch, schedules=selection.schedules
    )
    result = await run(selection.plain, event)
    is_completed = isinstance(result, AttemptResult) and result.error_class is None
    if is_completed and selection.transactional:
        result = await run(selection.transactional, event, recorder)
    # The log has no credentials of the event, not even where an error quotes them.
    return recorder.effects, result if isinstance(result, Wait) else result.without(hidden)


def _attempted(
    event: Event,
    schedule: RetrySchedule,
    result: AttemptResult | Wait,
    effects: list[Effect],
    error: BaseException | None,
) -> Attempted:
    recorded = None if isinstance(result, Wait) else result
    step = result if isinstance(result, Wait) else _next_step(event, schedule, result)
    outcome = recorded.outcome if recorded else None
    return Attempted(
        outcome=outcome,
        effects=tuple(effects) if outcome is AttemptOutcome.COMPLETED else (),
        error=error,
        error_class=recorded.error_class if recorded else None,
        error_message=recorded.error_message if recorded else None,
        retry_in_s=_delay_s(step),
        is_dead_letter=isinstance(step, Reject | Copy)
        and route_of(step).queue == DEAD_LETTER_QUEUE,
        event=event,
    )


def _next_step(event: Event, schedule: RetrySchedule, result: AttemptResult) -> Verdict | Wait:
    return decide(
        result.outcome,
        source=SourceQueue.WORK,
        attempt=Attempt(event.attempt),
        schedule=result.schedule or schedule,
        bound=schedule,
    )


def _delay_s(step: Verdict | Wait) -> float | None:
    delay_ms = None
    if isinstance(step, Wait):
        delay_ms = step.delay_ms
    elif isinstance(step, Reject | Copy):
        delay_ms = route_of(step).delay_ms
    return None if delay_ms is None else delay_ms / 1000
