"""The process that runs functions with @answers. The gateway starts it and posts questions to it.

    python -m ringback.services.gateway.questions.answer_process LISTENING CONTROL MODULES

LISTENING and CONTROL are numbers of open files. Connections arrive at LISTENING, which belongs to
the gateway, so that questions wait in it while a process is replaced. On CONTROL the process
reports the types that it answers, and then each second that it is well. It ends when the gateway
has closed CONTROL, which the kernel also does for a gateway that was killed.
"""

import asyncio
import inspect
import os
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import structlog
import uvloop
from aiohttp import web

from ringback.contract.event import Event, read_event
from ringback.contract.telemetry import LogEvent
from ringback.contract.trace_context import new_trace_context, trace_context_of
from ringback.handlers import AnswerFunction, Question, answered_types
from ringback.runtime.observability import logs
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.runtime.process.modules import import_modules
from ringback.runtime.process.settings import LogSettings, load

BACKLOG = 4096
"""Questions that wait while a process is replaced; the kernel may allow fewer (`somaxconn`)."""

_REPORT_EVERY_S = 1.0
THREADS = 8
"""For each type whose function may block, so a function that hangs takes no thread of another."""
_MAX_FRAMES = 20
_MAX_PROBLEM = 4_000


def import_answers(names: str) -> dict[str, AnswerFunction]:
    """The functions of these modules by the types that they answer. Raises CannotStartError."""
    modules, problems = import_modules(names, setting="RINGBACK_ANSWERS")
    functions: dict[str, AnswerFunction] = {}
    for module in modules:
        found = [one for one in vars(module).values() if answered_types(one)]
        if not found:
            problems.append(
                f"RINGBACK_ANSWERS names {module.__name__}, which has no function with @answers(…)."
            )
        for function in found:
            for name in answered_types(function):
                if functions.setdefault(name, function) is not function:
                    problems.append(f"RINGBACK_ANSWERS has two functions that answer {name}.")
    if problems:
        raise CannotStartError("\n".join(problems))
    return functions


class Answerer:
    """Calls one function: in the event loop if it is `async def`, or else in its own threads."""

    def __init__(self, function: AnswerFunction, *, threads: int = THREADS) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._abandoned: list[Future[Any]] = []

    async def answer(self, question: Question) -> tuple[bytes, str]:
        """The body of the answer and its content type. Raises what the function raises."""
        if self._is_async:
            answer = await self._function(question)
        else:
            answer = await self._in_thread(question)
        if isinstance(answer, bytes):
            return answer, "application/octet-stream"
        if not isinstance(answer, dict):
            raise TypeError(
                "a function with @answers must return a dict, or bytes for voice-request"
            )
        return orjson.dumps(answer), "application/json"

    async def _in_thread(self, question: Question) -> object:
        future = self._pool.submit(self._call, question)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():
                self._abandoned.append(future)
            raise

    def _call(self, question: Question) -> object:
        try:
            return self._function(question)
        except StopIteration as exc:
            # asyncio's future would never end with it.
            raise RuntimeError("the function raised StopIteration") from exc

    def is_stuck(self) -> bool:
        """Whether every thread still works on a question whose time is over."""
        self._abandoned = [one for one in self._abandoned if not one.done()]
        return len(self._abandoned) >= self._threads


async def answer_request(
    answerers: Mapping[str, Answerer], request: web.BaseRequest
) -> web.Response:
    """Answer a question. The gateway closes the connection when its time is over."""
    _, event_type, endpoint_id, org_id = request.path.split("/")
    event = read_event(await request.content.read())
    answerer = answerers.get(event_type)
    if answerer is None or not isinstance(event, Event):
        return web.Response(status=404)
    trace = trace_context_of(request.headers.get("traceparent"), None) or new_trace_context()
    question = Question(
        id=request.headers.get("webhook-id", ""),
        type=event_type,
        org_id=UUID(org_id),
        endpoint_id=endpoint_id,
        call_id=event.call_id,
        message=event.message,
        trace=trace,
    )
    try:
        body, content_type = await answerer.answer(question)
    except BaseException as exc:  # the function is not ours
        if _is_cancelled(exc):
            raise
        # As a RuntimeError, because neither a coroutine nor a future can raise it.
        error = exc.__cause__ if isinstance(exc.__cause__, StopIteration) else exc
        structlog.get_logger().error(
            LogEvent.ANSWER_FUNCTION_FAILED,
            question_id=question.id,
            endpoint_id=endpoint_id,
            event_type=event_type,
            error_class=type(error).__name__,
            stack=_stack(error),
            trace_id=trace.trace_id,
        )
        return web.Response(status=500)
    return web.Response(body=body, content_type=content_type)


def _is_cancelled(error: BaseException) -> bool:
    """Whether the gateway does not wait any more; a function may raise CancelledError too."""
    task = asyncio.current_task()
    is_asked = task is None or task.cancelling() > 0
    return isinstance(error, GeneratorExit) or (
        isinstance(error, asyncio.CancelledError) and is_asked
    )


def _stack(error: BaseException) -> list[str]:
    """Where it was raised: without the text, which may contain what the caller said."""
    frames = traceback.extract_tb(error.__traceback__)[: -_MAX_FRAMES - 1 : -1]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


async def serve(answerers: Mapping[str, Answerer], listening: int, control: socket.socket) -> None:
    """Answer, and report each second that no function is stuck."""

    async def answer(request: web.BaseRequest) -> web.Response:
        return await answer_request(answerers, request)

    # handler_cancellation stops the work on an answer that the gateway no longer waits for.
    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True, access_log=None))
    await runner.setup()
    await web.SockSite(runner, socket.socket(fileno=listening), backlog=BACKLOG).start()
    control.sendall(orjson.dumps({"types": sorted(answerers)}) + b"\n")
    while True:
        if not any(one.is_stuck() for one in answerers.values()):
            # A gateway that has stopped reading does not need the reports that do not fit.
            with suppress(BlockingIOError):
                control.send(b"\n", socket.MSG_DONTWAIT)
        await asyncio.sleep(_REPORT_EVERY_S)


def _end_with_gateway(control: socket.socket, gateway: int, folder: Path) -> None:
    with suppress(OSError):
        while control.recv(1):
            pass
    # A gateway that was killed has left its socket. One that is alive kills this process instead.
    for _ in range(100):
        if os.getppid() != gateway:
            shutil.rmtree(folder, ignore_errors=True)
            break
        time.sleep(0.01)
    os._exit(0)


def main(listening: int, control: socket.socket, modules: str) -> int:
    """Answer until the gateway ends. Returns an exit status if it cannot."""
    logs.configure("gateway", load(LogSettings))
    # A thread, because functions that block the event loop must not outlive the gateway.
    with socket.socket(fileno=os.dup(listening)) as known:
        folder = Path(known.getsockname()).parent
    watched = (control, os.getppid(), folder)
    threading.Thread(target=_end_with_gateway, args=watched, daemon=True).start()
    try:
        answerers = {name: Answerer(one) for name, one in import_answers(modules).items()}
    except CannotStartError as exc:
        control.sendall(orjson.dumps({"problem": str(exc)[:_MAX_PROBLEM]}) + b"\n")
        return 1
    uvloop.run(serve(answerers, listening, control))
    return 0


if __name__ == "__main__":
    # A terminal and some supervisors signal all processes; this one ends after the gateway's
    # last question. A handler instead of SIG_IGN, which programs that functions start would keep.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # Not sys.exit, which would wait for threads that hang.
    os._exit(main(int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), sys.argv[3]))
