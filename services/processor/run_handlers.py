"""Runs handlers for a limited time, and turns any result into an outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.handlers import Event, Handler, PermanentFailure
from services.processor.contained_exits import contain_exits, in_handler
from services.processor.handler_span import HandlerSpan
from services.processor.message_span import MessageSpan
from services.processor.outcome import Outcome, completed, failed

_CANCEL_WAIT_S = 1.0
_TIMEOUT = "timeout"

log = structlog.get_logger()

#: Handlers that ignored their cancellation. Without a reference, they could be collected.
_abandoned: set[asyncio.Task[BaseException | None]] = set()


def are_abandoned() -> bool:
    """Whether handlers that ignored their cancellation still run."""
    return bool(_abandoned)


async def run_handlers(
    handlers: Sequence[Handler],
    event: Event,
    *arguments: object,
    timeout_s: float,
    span: MessageSpan,
) -> Outcome:
    """Call each handler with the event and `arguments`, in turn; the first error ends it.

    Each has a span within `span`, and an event object that names it.

    A handler that is cut at the timeout gets a second to clean up. Cancelling from outside
    cancels the handler and gives no outcome: our own shutdown does not count as an attempt.
    """
    handling = HandlerSpan(span)
    contain_exits(asyncio.get_running_loop())
    task = asyncio.create_task(_in_turn(handlers, event, *arguments, handling=handling))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            handling.end(_TIMEOUT)
            await _cut(task, event)
            return failed(_TIMEOUT, f"The handlers did not end within {timeout_s:g} s.")
    except asyncio.CancelledError as exc:
        handling.end(type(exc).__qualname__)
        await _cut(task, event)
        raise
    return _outcome_of(task)


def _outcome_of(task: asyncio.Task[BaseException | None]) -> Outcome:
    if task.cancelled():
        return failed("CancelledError", "The handler cancelled itself.")
    error = task.exception() or task.result()
    if error is None:
        return completed()
    return failed(
        type(error).__qualname__,
        _said_by(error) or "The handler raised without a message.",
        permanent=isinstance(error, PermanentFailure),
    )


def _said_by(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # ruff: ignore[blind-except]  # an error that cannot be printed is an error all the same
        return ""


async def _in_turn(
    handlers: Sequence[Handler], event: Event, *arguments: object, handling: HandlerSpan
) -> BaseException | None:
    """Run the handlers. Return an error that asks the process to end: no task may raise it."""
    in_handler.set(True)
    for handler in handlers:
        context = handling.begin(handler).context
        try:
            await handler(replace(event, trace=context), *arguments)
        except (SystemExit, KeyboardInterrupt) as exc:
            handling.end(type(exc).__qualname__)
            return exc
        except BaseException as exc:
            handling.end(type(exc).__qualname__)
            raise
        handling.end()
    return None


async def _cut(task: asyncio.Task[BaseException | None], event: Event) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=_CANCEL_WAIT_S)
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
