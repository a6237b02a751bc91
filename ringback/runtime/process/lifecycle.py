"""One process, one event loop, one way to stop."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process import event_loop
from ringback.runtime.process.end_by_signal import end_by
from ringback.runtime.process.settings import SettingsError

ServiceMain = Callable[[asyncio.Event], Awaitable[None]]

_YOUNG_OBJECTS = 20_000
"""Objects allocated before a young collection; Python's default of 700 is for smaller programs."""

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2


class CannotStartError(Exception):
    """A precondition of the service is not met; the message explains it."""


def run(service_main: ServiceMain) -> int:
    """Run a service until it ends or is stopped, and return its exit status.

    SIGTERM and SIGINT set the event that `service_main` gets; it then stops in its own order. A
    second signal ends the process at once. Errors that an operator can fix are printed as one
    sentence.
    """
    # Objects loaded by now stay; scanning them in each collection takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
    try:
        event_loop.run(_until_stopped(service_main))
    except SettingsError as exc:
        print(f"These settings cannot be used:\n{exc}", file=sys.stderr)  # ruff: ignore[print]
        return EXIT_BAD_SETTINGS
    except CannotStartError as exc:
        print(exc, file=sys.stderr)  # ruff: ignore[print]
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:  # ruff: ignore[blind-except]  # the last place that can log it
        structlog.get_logger().exception(LogEvent.SERVICE_FAILED)
        return EXIT_FAILED
    return 0


async def _until_stopped(service_main: ServiceMain) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            end_by(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await service_main(stop)


EXIT_OVERDUE = 1
_AFTER_DRAIN_S = 12.0
"""Time after the work in flight: pending rows, connections to broker and database, spans."""
_LOG_TIMEOUT_S = 2.0
_MAX_TASKS = 50

log = structlog.get_logger()


def end_in_time(
    stop: asyncio.Event, *, drain_timeout_s: float, after_drain_s: float = _AFTER_DRAIN_S
) -> None:
    """End the process with status 1 if it still runs too long after `stop` is set.

    The limit is `after_drain_s` after the time to finish its work. The log line contains the
    running tasks, each with its stack: files, lines and functions, but no values.
    """
    within_s = drain_timeout_s + after_drain_s
    watch = asyncio.get_running_loop().create_task(_watch(stop, within_s))
    # The loop keeps only a weak reference.
    watch.add_done_callback(lambda done: None if done.cancelled() else done.result())
    _watches.add(watch)
    watch.add_done_callback(_watches.discard)


_watches: set[asyncio.Task[None]] = set()


async def _watch(stop: asyncio.Event, within_s: float) -> None:
    await stop.wait()
    # A thread, because the loop itself may be what does not end.
    timer = threading.Timer(
        within_s, _end_now, (asyncio.get_running_loop(), threading.get_ident(), within_s)
    )
    timer.daemon = True
    timer.start()


def _end_now(loop: asyncio.AbstractEventLoop, loop_thread: int, within_s: float) -> None:
    # The log line may block, if its disk does not answer.
    last = threading.Timer(_LOG_TIMEOUT_S, os._exit, (EXIT_OVERDUE,))
    last.daemon = True
    last.start()
    frame = sys._current_frames().get(loop_thread)  # ruff: ignore[private-member-access]  # the only way
    log.error(
        LogEvent.SERVICE_STOP_OVERDUE,
        within_s=within_s,
        tasks=[_stack_of_task(task) for task in _running(loop)],
        stack=list(_stack_of_frame(frame)),
    )
    os._exit(EXIT_OVERDUE)


def _running(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks(loop) if task not in _watches][:_MAX_TASKS]


def _stack_of_task(task: asyncio.Task[Any]) -> list[str]:
    """From the task's own coroutine down to what it awaits."""
    stack = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                stack.append(_place(frame))
                following = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                awaited = getattr(awaited, following, None)
                break
        else:
            stack.append(type(awaited).__qualname__)
            break
    return stack


def _stack_of_frame(frame: FrameType | None) -> Iterator[str]:
    """From the thread's current frame up to its first."""
    while frame is not None:
        yield _place(frame)
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    code = frame.f_code
    folder = Path(code.co_filename).parent.name
    return f"{folder}/{Path(code.co_filename).name}:{frame.f_lineno} {code.co_qualname}"
