"""Runs the process of the functions with @answers, and replaces one that ended or hangs.

The gateway owns the socket at which the process answers. A question that arrives while a process is
replaced waits there; only the questions that the old one had accepted get the fallback.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import orjson
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.background import run_in_background
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.gateway.questions.answer_process import BACKLOG

_START_WITHIN_S = 60.0
_END_WITHIN_S = 3.0
_HANG_AFTER_S = 10.0
_LONG_LIFE_S = 30.0
_MIN_DELAY_S, _MAX_DELAY_S = 0.5, 15.0
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "VIRTUAL_ENV"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "RINGBACK_LOG_LEVEL", "RINGBACK_LOG_FORMAT"),
)


def child_environment(environ: Mapping[str, str], more: str) -> dict[str, str]:
    """The variables that the functions get: no secret of the gateway, unless `more` names it."""
    names = [*_PASSED_ON, *(name.strip() for name in more.split(","))]
    return {name: environ[name] for name in names if name in environ}


class AnswerSupervisor:
    """Keeps a process with the functions of these modules while entered."""

    def __init__(
        self,
        modules: str,
        environment: Mapping[str, str],
        *,
        hang_after_s: float = _HANG_AFTER_S,
        on_restart: Callable[[], None] = lambda: None,
    ) -> None:
        self._modules = modules
        self._environment = environment
        self._on_restart = on_restart
        self._hang_after_s = hang_after_s
        self.socket_path: Path | None = None
        self.types: frozenset[str] = frozenset()
        """The types of questions that the functions answer."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Raises CannotStartError if a module cannot be imported. Without modules, do nothing."""
        if not self._modules:
            yield self
            return
        with _listening() as listening:
            child = await self._start(listening)
            self.socket_path = Path(listening.getsockname())
            self.types = child.types
            async with run_in_background(lambda: self._keep(child, listening)):
                yield self

    async def _keep(self, child: "_Child", listening: socket.socket) -> None:
        log = structlog.get_logger()
        delay_s = _MIN_DELAY_S
        while True:
            started_at = time.monotonic()
            reason = await child.ended(self._hang_after_s)
            if time.monotonic() - started_at >= _LONG_LIFE_S:
                delay_s = _MIN_DELAY_S
            restarted = None
            while restarted is None:
                log.warning(
                    LogEvent.ANSWER_PROCESS_ENDED,
                    process_id=child.process.pid,
                    reason=reason,
                    restart_after_s=delay_s,
                )
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _MAX_DELAY_S)
                try:
                    restarted = await self._start(listening)
                except CannotStartError as exc:
                    reason = str(exc)
            self._on_restart()
            child = restarted

    async def _start(self, listening: socket.socket) -> "_Child":
        child = await _Child.spawn(self._modules, self._environment, listening)
        structlog.get_logger().info(
            LogEvent.ANSWER_PROCESS_STARTED,
            process_id=child.process.pid,
            event_types=sorted(child.types),
        )
        return child


@dataclass(frozen=True, slots=True)
class _Child:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    types: frozenset[str] = frozenset()

    @classmethod
    async def spawn(
        cls, modules: str, environment: Mapping[str, str], listening: socket.socket
    ) -> "_Child":
        """Start a process and wait until it can answer. Raises CannotStartError."""
        try:
            child = await cls._spawn(modules, environment, listening)
        except OSError as exc:
            raise CannotStartError(
                f"The process for RINGBACK_ANSWERS cannot be started: {exc.strerror}."
            ) from exc
        try:
            return replace(child, types=await child.reported_types())
        except BaseException:
            await child.end()
            raise

    @classmethod
    async def _spawn(
        cls, modules: str, environment: Mapping[str, str], listening: socket.socket
    ) -> "_Child":
        ours, theirs = socket.socketpair()
        with theirs:
            files = (listening.fileno(), theirs.fileno())
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "ringback.services.gateway.questions.answer_process"),
                    *(*map(str, files), modules),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=dict(environment),
                    pass_fds=files,
                    start_new_session=True,
                )
            except BaseException:
                # A process that has started ends: nobody has the other end of its socket.
                writer.close()
                raise
        return cls(process, reader, writer)

    async def reported_types(self) -> frozenset[str]:
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                line = await self.reader.readline()
        except TimeoutError:
            raise CannotStartError(
                f"The modules in RINGBACK_ANSWERS were not imported within {_START_WITHIN_S:g} s. "
                "Do slow work in the functions, not at import."
            ) from None
        if not line:
            raise CannotStartError(
                "The process for RINGBACK_ANSWERS ended while it imported the modules. Its error "
                "is above this line; if there is none, check the memory limit."
            )
        report = orjson.loads(line)
        if "problem" in report:
            raise CannotStartError(report["problem"])
        return frozenset(report["types"])

    async def ended(self, hang_after_s: float) -> str:
        """Wait until the process ends, or kill it because it hangs. Returns why."""
        reason = "ended"
        try:
            is_well = True
            while is_well:
                async with asyncio.timeout(hang_after_s):
                    is_well = bool(await self.reader.read(4096))
        except TimeoutError:
            reason = "hung"
        except OSError:
            pass
        finally:
            await self.end()
        return f"{reason}; status {self.process.returncode}"

    async def end(self) -> None:
        self.writer.close()
        with suppress(ProcessLookupError):
            self.process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_WITHIN_S):
                await self.process.wait()


@contextmanager
def _listening() -> Generator[socket.socket, None, None]:
    """A socket in a new folder that only this user can enter. Raises CannotStartError."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(TemporaryDirectory(prefix="ringback-answers-"))
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(f"{folder}/socket")
        except OSError as exc:
            raise CannotStartError(
                "RINGBACK_ANSWERS needs a socket in a folder for temporary files: "
                f"{exc.strerror or exc}. Set TMPDIR to one that it may write to, with a short path."
            ) from exc
        listening.listen(BACKLOG)
        yield listening
