"""Starts services and commands as processes, without waiting for their imports each time.

Importing one takes up to a second of CPU. So one process for each program imports it once, and
forks when a test starts that program. Run as a program, this file is that process.
"""

# ruff: file-ignore[suspicious-subprocess-import] - starting services is what this file is for.
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from ringback.local.child import dying_with_us

ROOT = Path(__file__).parents[2]
COMMAND = "ringback.cli"
_IMPORTED_AHEAD = {
    # Not its own modules: some look at the environment when they are imported.
    COMMAND: (
        *("aio_pika", "asyncpg", "cyclopts", "jwt", "rich.live", "ringback.metrics.client"),
        *("ringback.runtime.amqp.topology", "ringback.runtime.postgres.migrate"),
    )
}
_PR_SET_PDEATHSIG = 1
_MAX_MESSAGE_BYTES = 200_000
_READ_BEFORE_MAIN = ("OTEL_", "GRPC_", "LD_", "PYTHON")
"""Variables that have an effect while Python starts or imports: with them nothing is forked."""


class ServiceProcess(Protocol):
    """What tests use of subprocess.Popen."""

    returncode: Any

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def start_service(
    name: str, env: Mapping[str, str], log_path: Path, *before: str
) -> ServiceProcess:
    """Start `python -m services.<name>` in the checkout; its output is appended to `log_path`.

    `before` is a command that becomes the service.
    """
    with log_path.open("ab") as log:
        return start_program([f"ringback.services.{name}"], env, ROOT, log, log, before)


def start_program(
    command: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    out: IO[bytes],
    err: IO[bytes],
    before: Sequence[str] = (),
) -> ServiceProcess:
    """Start `python -m` with these arguments; the first one is a service or COMMAND."""
    if sys.platform != "linux" or before or _needs_a_fresh_interpreter(env):
        return subprocess.Popen(
            [*dying_with_us(signal.SIGKILL), *before, sys.executable, "-m", *command],
            env=env,
            cwd=cwd,
            stdout=out,
            stderr=err,
        )
    module = command[0]
    if module not in _FORKERS:
        _FORKERS[module] = _Forker(module)
    request = {"env": dict(env), "argv": [*command], "cwd": str(cwd)}
    return _FORKERS[module].fork(request, [out.fileno(), err.fileno()])


def close() -> None:
    """End the processes that have imported services, and the services that still run."""
    while _FORKERS:
        _FORKERS.popitem()[1].close()


def _needs_a_fresh_interpreter(env: Mapping[str, str]) -> bool:
    return any(
        name.startswith(_READ_BEFORE_MAIN)
        and name not in {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
        and os.environ.get(name) != value
        for name, value in env.items()
    )


class _Forker:
    """The process that has imported a program, seen from the tests."""

    def __init__(self, name: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, name, str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
            )
        self._statuses: dict[int, int] = {}

    def close(self) -> None:
        """End it: it exits when this end of the socket is closed."""
        self._socket.close()
        self._process.wait()

    def fork(self, request: Mapping[str, Any], outputs: list[int]) -> "_Forked":
        socket.send_fds(self._socket, [json.dumps(request).encode()], outputs)
        while (pid := self._receive()) is None:
            pass
        return _Forked(self, pid)

    def status(self, pid: int) -> int | None:
        while pid not in self._statuses and select.select([self._socket], [], [], 0)[0]:
            self._receive()
        return self._statuses.get(pid)

    def _receive(self) -> int | None:
        """Read one message: the id of a new process, or the status of one that ended."""
        message = self._socket.recv(_MAX_MESSAGE_BYTES)
        assert message, "the process that forks services has ended"
        pid, status = json.loads(message)
        if status is None:
            return int(pid)
        self._statuses[pid] = status
        return None


class _Forked:
    """A forked process, with the methods of subprocess.Popen."""

    def __init__(self, forker: _Forker, pid: int) -> None:
        self._forker = forker
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forker.status(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("service", timeout or 0)
            time.sleep(0.005)
        return code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_FORKERS: dict[str, _Forker] = {}


def _forked(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request and report each end. Only returns in a forked process."""
    ends, end = socket.socketpair()
    end.setblocking(False)  # ruff: ignore[boolean-positional-value-in-call]
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(end.fileno())
    while True:
        readable, _, _ = select.select([requests, ends], [], [])
        if ends in readable:
            ends.recv(_MAX_MESSAGE_BYTES)
            _report_ends(requests)
        if requests in readable:
            message, descriptors, _, _ = socket.recv_fds(requests, _MAX_MESSAGE_BYTES, 2)
            if not message:
                os._exit(0)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                ends.close()
                end.close()
                _take_outputs(*descriptors)
                found: dict[str, Any] = json.loads(message)
                return found
            for descriptor in descriptors:
                os.close(descriptor)
            requests.send(json.dumps([pid, None]).encode())


def _report_ends(requests: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        requests.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def _take_outputs(out: int, err: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)


def main(module: str, descriptor: int) -> None:
    for name in _IMPORTED_AHEAD.get(module, (f"{module}.app",)):
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=descriptor) as requests:
        request = _forked(requests)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.path[1:1] = filter(None, os.environ.get("PYTHONPATH", "").split(":"))
    sys.argv = request["argv"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
