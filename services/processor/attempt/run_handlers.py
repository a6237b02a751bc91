"""Runs the handlers of an attempt, with a timeout. Whatever they do gives a result."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.handlers import Event, Handler, PermanentFailure
from ringback.runtime.observability.tracing import make_current, trace_context
from services.processor.attempt.contain_exits import contain_exits, in_handler
from services.processor.attempt.context import AttemptResult, completed, failed
from services.processor.spans import HandlerSpan, MessageSpan

_CANCEL_WAIT_S = 1.0
_TIMEOUT = "timeout"

log = structlog.get_logger()

#: Handlers that ignored their cancellation. Unreferenced tasks could be garbage-collected.
_abandoned: set[asyncio.Task[BaseException | None]] = set()


def has_abandoned_handlers() -> bool:
    """Whether handlers that ignored their cancellation still run."""
    return bool(_abandoned)


async def run_handlers(
    handlers: Sequence[Handler],
    event: Event,
    *arguments: object,
    timeout_s: float,
    span: MessageSpan,
    cancel_wait_s: float = _CANCEL_WAIT_S,
) -> AttemptResult:
    """Call each handler with the event and `arguments`, in turn; the first error ends it.

    Each handler has its own span, which is the current one while it runs, and an event object with
    that span's trace context.

    A handler that is cancelled at the timeout gets a second to clean up. If this call itself is
    cancelled, so is the handler, without a result: our own shutdown does not count as an attempt.
    """
    handler_span = HandlerSpan(span)
    contain_exits(asyncio.get_running_loop())
    task = asyncio.create_task(_in_turn(handlers, event, *arguments, handler_span=handler_span))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            handler_span.end(_TIMEOUT)
            await _cut(task, event, cancel_wait_s)
            return failed(_TIMEOUT, f"The handlers did not end within {timeout_s:g} s.")
    except asyncio.CancelledError as exc:
        handler_span.end(type(exc).__qualname__)
        await _cut(task, event, cancel_wait_s)
        raise
    return _result_of(task)


def _result_of(task: asyncio.Task[BaseException | None]) -> AttemptResult:
    if task.cancelled():
        return failed("CancelledError", "The handler cancelled itself.")
    error = task.exception() or task.result()
    if error is None:
        return completed()
    return failed(
        type(error).__qualname__,
        _message_of(error) or "The handler raised without a message.",
        permanent=isinstance(error, PermanentFailure),
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # ruff: ignore[blind-except]  # an error that cannot be printed is an error all the same
        return ""


async def _in_turn(
    handlers: Sequence[Handler], event: Event, *arguments: object, handler_span: HandlerSpan
) -> BaseException | None:
    """Run the handlers. Return an error that asks the process to end: no task may raise it."""
    in_handler.set(True)
    for handler in handlers:
        span = handler_span.begin(handler)
        make_current(span)
        try:
            await handler(replace(event, trace=trace_context(span)), *arguments)
        except (SystemExit, KeyboardInterrupt) as exc:
            handler_span.end(type(exc).__qualname__)
            return exc
        except BaseException as exc:
            handler_span.end(type(exc).__qualname__)
            raise
        handler_span.end()
    return None


async def _cut(task: asyncio.Task[BaseException | None], event: Event, wait_s: float) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=wait_s)
    if not task.done():
        log.error(
            LogEvent.HANDLER_IGNORES_CANCELLATION, job_id=str(event.job_id), event_type=event.type
        )
        _abandoned.add(task)
        task.add_done_callback(_forget)
    else:
        _forget(task)


def _forget(task: asyncio.Task[BaseException | None]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # read it, or the loop reports it as never retrieved
