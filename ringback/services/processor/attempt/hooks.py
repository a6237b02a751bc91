"""Runs what handlers declare with @on_start and @on_stop, in bounded time."""

import asyncio
import inspect
import os
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from ringback.handlers import Hook, name_of
from ringback.services.processor.attempt.contain_exits import contain_exits, in_handler
from ringback.services.processor.attempt.handlers import HandlersError
from ringback.services.processor.attempt.result import text_of_error
from ringback.services.processor.attempt.run_handlers import abandon

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
_CANCEL_WAIT_S = 1.0
_EXIT_FAILED = 1


async def run_start_hooks(
    hooks: Sequence[Hook],
    *,
    timeout_s: float = START_TIMEOUT_S,
    cancel_wait_s: float = _CANCEL_WAIT_S,
    exits: bool = False,
) -> None:
    """Run the hooks in turn. Raises HandlersError for the first that raises or takes too long.

    With `exits`, a hook that blocks the event loop, or ignores its cancellation, ends the process:
    it has not received any webhook yet.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    for hook in hooks:
        name = name_of(hook)
        late = (
            f"The hook {name} did not end in time: all hooks with @on_start together get "
            f"{timeout_s:g} s. Move slow work to its first use."
        )
        left_s = ends_at - loop.time()
        with _exit_after(left_s + 2 * cancel_wait_s, late, exits=exits):
            error = await _run(hook, left_s, cancel_wait_s)
            if isinstance(error, _StillRunsError) and exits:
                # The loop would wait for it without a limit.
                _exit(late)
        if isinstance(error, _LateError):
            raise HandlersError(late) from error
        if error is not None:
            raise HandlersError(
                f"The hook {name} failed: {type(error).__name__}: {text_of_error(error)}"
            ) from error


async def run_stop_hooks(
    hooks: Sequence[Hook],
    *,
    timeout_s: float = STOP_TIMEOUT_S,
    cancel_wait_s: float = _CANCEL_WAIT_S,
) -> list[tuple[str, BaseException]]:
    """Run the hooks from the last to the first. Returns the errors by the hook's name.

    When the time is over, the remaining hooks are started and then cancelled.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    errors = []
    for hook in reversed(hooks):
        error = await _run(hook, max(0.0, ends_at - loop.time()), cancel_wait_s)
        if error is not None:
            errors.append((name_of(hook), error))
    return errors


class _LateError(Exception):
    """The hook was cancelled at its time limit."""


class _StillRunsError(_LateError):
    """The hook ignores its cancellation."""


async def _run(hook: Hook, timeout_s: float, cancel_wait_s: float) -> BaseException | None:
    task = asyncio.create_task(_error_of(hook))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if task.done():
            return task.result()
        late = _LateError(f"It did not end within {timeout_s:g} s.")
    finally:
        if not task.done():
            task.cancel()
    await asyncio.wait({task}, timeout=cancel_wait_s)
    if task.done():
        return late
    abandon(task)
    return _StillRunsError("It ignores its cancellation.")


async def _error_of(hook: Hook) -> BaseException | None:
    """Run a hook. Return its error: no task may raise one that asks the process to end."""
    contain_exits(asyncio.get_running_loop())
    in_handler.set(True)
    try:
        result = hook()
        if inspect.isawaitable(result):
            await result
    except BaseException as exc:  # ruff: ignore[blind-except]  # a hook may raise anything
        return exc
    return None


@contextmanager
def _exit_after(within_s: float, sentence: str, *, exits: bool) -> Generator[None, None, None]:
    """End the process if the block takes longer. A thread does it: the loop may be blocked."""
    timer = threading.Timer(within_s, _exit, (sentence,))
    timer.daemon = True
    if exits:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _exit(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # ruff: ignore[print]  # as `lifecycle.run` does
    os._exit(_EXIT_FAILED)
