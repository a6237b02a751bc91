"""Runs the handlers of an attempt, with a timeout. Every way in which they can end is a result.

Imports nothing of a server: `ringback.testing` runs handlers by this code too.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.trace_context import TraceContext
from ringback.handlers import Event, Handler
from ringback.services.processor.attempt.contain_exits import contain_exits, in_handler
from ringback.services.processor.attempt.result import (
    AttemptResult,
    Wait,
    completed,
    failed,
    result_of,
)

_CANCEL_WAIT_S = 1.0
_TIMEOUT = "timeout"


class HandlerWatch(Protocol):
    """Observes the handlers of an attempt, one after the other."""

    def begin(self, handler: Handler) -> TraceContext:
        """The handler starts in this task. Returns the trace context for its event."""

    def end(self, error_type: str | None = None) -> None:
        """It ended, successfully or with this error. Only the first call counts."""

    def ignores_cancellation(self, event: Event) -> None:
        """It exceeded its time limit, was cancelled and still runs."""


#: Handlers that ignored their cancellation. Unreferenced tasks could be garbage-collected.
_abandoned: set[asyncio.Task[BaseException | None]] = set()


def has_abandoned_handlers() -> bool:
    """Whether handlers that ignored their cancellation still run."""
    return bool(_abandoned)


Schedules = Mapping[Handler, RetrySchedule]
"""The retry schedules of the handlers that declare one."""


async def run_handlers(
    handlers: Sequence[Handler],
    event: Event,
    *arguments: object,
    timeout_s: float,
    watch: HandlerWatch,
    schedules: Schedules = MappingProxyType({}),
    cancel_wait_s: float = _CANCEL_WAIT_S,
) -> AttemptResult | Wait:
    """Call each handler with the event and `arguments`, in turn; the first error ends it.

    Each handler has its own event object, with the trace context that `watch` returns. Returns a
    wait if a handler says that its destination is unavailable: then this was no attempt.

    A handler that is cancelled at the timeout gets a second to clean up. If this call itself is
    cancelled, so is the handler, without a result: our own shutdown does not count as an attempt.
    """
    contain_exits(asyncio.get_running_loop())
    begun: list[Handler] = []
    task = asyncio.create_task(
        _in_turn(handlers, event, *arguments, watch=watch, schedules=schedules, begun=begun)
    )
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            watch.end(_TIMEOUT)
            await _cut(task, event, watch, cancel_wait_s)
            late = failed(_TIMEOUT, f"The handlers did not end within {timeout_s:g} s.")
            return replace(late, schedule=_schedule_of(begun, schedules))
    except asyncio.CancelledError as exc:
        watch.end(type(exc).__qualname__)
        await _cut(task, event, watch, cancel_wait_s)
        raise
    result = _result_of(task)
    schedule = _schedule_of(begun, schedules)
    if isinstance(result, Wait):
        failure = result.failure
        return replace(result, failure=replace(failure, schedule=schedule)) if failure else result
    return result if result.error_class is None else replace(result, schedule=schedule)


def _result_of(task: asyncio.Task[BaseException | None]) -> AttemptResult | Wait:
    if task.cancelled():
        return failed("CancelledError", "The handler cancelled itself.")
    error = task.exception() or task.result()
    if error is None:
        return completed()
    return result_of(error)


def _schedule_of(begun: Sequence[Handler], schedules: Schedules) -> RetrySchedule | None:
    """The schedule of the handler that ran last, if it declares one."""
    return schedules.get(begun[-1]) if begun and schedules else None


async def _in_turn(
    handlers: Sequence[Handler],
    event: Event,
    *arguments: object,
    watch: HandlerWatch,
    schedules: Schedules,
    begun: list[Handler],
) -> BaseException | None:
    """Run the handlers. Return an error that asks the process to end: no task may raise it."""
    in_handler.set(True)
    for handler in handlers:
        begun.append(handler)
        trace = watch.begin(handler)
        own = schedules.get(handler) if schedules else None
        limit = event.max_attempts if own is None else own.max_attempts
        try:
            await handler(replace(event, trace=trace, max_attempts=limit), *arguments)
        except (SystemExit, KeyboardInterrupt) as exc:
            watch.end(type(exc).__qualname__)
            return exc
        except BaseException as exc:
            watch.end(type(exc).__qualname__)
            raise
        watch.end()
    return None


async def _cut(
    task: asyncio.Task[BaseException | None], event: Event, watch: HandlerWatch, wait_s: float
) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=wait_s)
    if not task.done():
        watch.ignores_cancellation(event)
        abandon(task)
    else:
        _forget(task)


def abandon(task: asyncio.Task[BaseException | None]) -> None:
    """Leave a task behind that ignores its cancellation."""
    _abandoned.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[BaseException | None]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # read it, or the loop reports it as never retrieved
