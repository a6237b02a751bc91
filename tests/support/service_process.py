"""Starts services as processes, without waiting for their imports each time.

Importing a service takes more than a second of CPU. So one process for each service imports it
once, and forks when a test starts that service. Run as a program, this file is that process.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ringback.local.child import dying_with_us

ROOT = Path(__file__).parents[2]
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


def start_service(name: str, env: Mapping[str, str], log_path: Path) -> ServiceProcess:
    """Start `python -m services.<name>` in the checkout; its output is appended to `log_path`."""
    with log_path.open("ab") as log:
        if sys.platform != "linux" or _needs_a_fresh_interpreter(env):
            return subprocess.Popen(
                [*dying_with_us(signal.SIGKILL), sys.executable, "-m", f"services.{name}"],
                env=env,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if name not in _FORKERS:
            _FORKERS[name] = _Forker(name)
        return _FORKERS[name].fork(env, log.fileno())


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
    """The process that has imported a service, seen from the tests."""

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

    def fork(self, env: Mapping[str, str], output: int) -> "_Forked":
        socket.send_fds(self._socket, [json.dumps(dict(env)).encode()], [output])
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
    """A forked service, with the methods of subprocess.Popen."""

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


def _forked_environment(requests: socket.socket) -> dict[str, str]:
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
            message, descriptors, _, _ = socket.recv_fds(requests, _MAX_MESSAGE_BYTES, 1)
            if not message:
                os._exit(0)
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                ends.close()
                end.close()
                _take_output(descriptors[0])
                found: dict[str, str] = json.loads(message)
                return found
            os.close(descriptors[0])
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


def _take_output(descriptor: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def main(name: str, descriptor: int) -> None:
    importlib.import_module(f"services.{name}.app")
    gc.freeze()
    with socket.socket(fileno=descriptor) as requests:
        env = _forked_environment(requests)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(":"))
    sys.argv = [f"services.{name}"]
    runpy.run_module(f"services.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
