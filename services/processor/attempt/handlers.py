"""Imports the handlers, selects those of an event type, and runs them with a timeout."""

import asyncio
import importlib
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.handlers import Event, Handler, Handles, PermanentFailure, declared
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.attempt.context import AttemptResult, Effect, completed, failed
from services.processor.spans import HandlerSpan, MessageSpan

EffectsOf = Callable[[Event], tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class HandlerSelection:
    """The handlers of one event type, in the order of their modules.

    `plain` ones act outside the database, `transactional` ones inside the finishing transaction.
    `effects_of` only return what to write in it.
    """

    plain: tuple[Handler, ...]
    transactional: tuple[Handler, ...]
    effects_of: tuple[EffectsOf, ...]


class HandlerSet:
    def __init__(self, handlers: Iterable[Handler], effects_of: Iterable[EffectsOf] = ()) -> None:
        self._handlers = [(_declared(handler), handler) for handler in handlers]
        self._effects_of = tuple(effects_of)

    def for_type(self, event_type: str) -> HandlerSelection:
        wanted = [(d, handler) for d, handler in self._handlers if d.wants(event_type)]
        return HandlerSelection(
            plain=tuple(handler for d, handler in wanted if not d.transaction),
            transactional=tuple(handler for d, handler in wanted if d.transaction),
            effects_of=self._effects_of,
        )


def import_handlers(modules: str) -> list[Handler]:
    """The handlers that the modules declare, in the order of their names and lines.

    `modules` is comma separated. Raises CannotStartError with a sentence for a module that cannot
    be imported, or that declares no handler.
    """
    handlers: list[Handler] = []
    for name in filter(None, (part.strip() for part in modules.split(","))):
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as exc:
            raise CannotStartError(
                f"RINGBACK_HANDLERS names {name}, which cannot be imported: "
                f"{type(exc).__name__}: {exc}"
            ) from exc
        found = [value for value in vars(module).values() if declared(value) is not None]
        if not found:
            raise CannotStartError(
                f"RINGBACK_HANDLERS names {name}, which has no function with @handles(…)."
            )
        handlers.extend(handler for handler in found if handler not in handlers)
    return handlers


def _declared(handler: Handler) -> Handles:
    found = declared(handler)
    if found is None:
        raise TypeError(f"{handler!r} is not declared with @handles(…)")
    return found


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

    Each has a span within `span`, and an event object that names it.

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
        context = handler_span.begin(handler).context
        try:
            await handler(replace(event, trace=context), *arguments)
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


in_handler: ContextVar[bool] = ContextVar("in_handler", default=False)
"""True in a handler, and in the tasks that it starts."""


class HandlerExitError(Exception):
    """A task of a handler asked the process to end."""


@contextmanager
def _as_error() -> Generator[None, None, None]:
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as exc:
        raise HandlerExitError(f"A task of the handler raised {type(exc).__name__}.") from exc


class _Contained(Coroutine[Any, Any, Any]):
    """Wrap a coroutine so that a request to end the process raises HandlerExitError.

    asyncio lets those two errors leave the event loop, even if another task awaits this one.
    """

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def send(self, value: Any) -> Any:
        with _as_error():
            return self._inner.send(value)

    def throw(self, *error: Any) -> Any:
        with _as_error():
            return self._inner.throw(*error)

    def close(self) -> None:
        self._inner.close()


def contain_exits(loop: asyncio.AbstractEventLoop) -> None:
    """Make the loop contain the tasks that handlers start from now on. Call it once."""
    if loop.get_task_factory() is not _new_task:
        loop.set_task_factory(_new_task)


def _new_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> "asyncio.Task[Any]":
    contained = _Contained(coroutine) if in_handler.get() else coroutine
    return asyncio.Task(contained, loop=loop, **options)
