"""The stack that runs in a folder: its locked file, its status, and how it is stopped."""

import asyncio
import fcntl
import json
import os
import signal
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ringback.local.account import make_private
from ringback.local.child import LocalStackError
from ringback.local.ports import (
    BrokerPorts,
    DatabasePorts,
    DemoPorts,
    LocalPorts,
    PrometheusPorts,
    ServicePorts,
)
from ringback.local.prometheus import prometheus_answers, prometheus_url
from ringback.local.stack_service import is_ready, service_specs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    pid: int
    started_at: float
    """Seconds since 1970."""
    ports: LocalPorts


@contextmanager
def claimed(state_dir: Path, ports: LocalPorts) -> Generator[None, None, None]:
    """Create and lock `state_dir` for this process; LocalStackError if another one has the lock."""
    make_private(state_dir)
    # Also in the project of somebody who writes handlers.
    (state_dir / ".gitignore").write_text("*\n", encoding="utf-8")
    path = _path(state_dir)
    # The kernel releases the lock when this process ends in any way, so a stale file is recognised.
    with path.open("a+", encoding="utf-8") as file:
        if not _lock(file.fileno()):
            running = _parse(path)
            which = f" (process {running.pid})" if running else ""
            raise LocalStackError(
                f"A local stack already runs in {state_dir}{which}; `ringback down` stops it."
            )
        mine = RunningStack(pid=os.getpid(), started_at=time.time(), ports=ports)
        file.truncate(0)
        file.write(json.dumps(asdict(mine)))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find_running(state_dir: Path) -> RunningStack | None:
    """The stack that runs in `state_dir`, or None."""
    path = _path(state_dir)
    try:
        with path.open(encoding="utf-8") as file:
            return None if _lock(file.fileno(), shared=True) else _parse(path)
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise LocalStackError(f"The local stack in {state_dir} belongs to another user.") from exc


def _path(state_dir: Path) -> Path:
    return state_dir / "stack.json"


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(path: Path) -> RunningStack | None:
    """None if the stack has locked the file but not written it yet."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        ports = document["ports"]
        return RunningStack(
            pid=document["pid"],
            started_at=document["started_at"],
            ports=LocalPorts(
                broker=BrokerPorts(**ports["broker"]),
                database=DatabasePorts(**ports["database"]),
                services=ServicePorts(**ports["services"]),
                prometheus=PrometheusPorts(**ports["prometheus"]),
                demo=DemoPorts(**ports["demo"]),
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None


POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    pid: int
    uptime_s: float
    ports: LocalPorts
    ready: Mapping[str, bool]
    """Each service by name, and whether it reports itself as ready."""
    prometheus_url: str | None
    """None if Prometheus does not answer."""


async def stack_status(state_dir: Path = Path(".ringback")) -> StackStatus | None:
    """What runs in `state_dir` and which services are ready; None if nothing runs."""
    stack = find_running(state_dir)
    if stack is None:
        return None
    specs = service_specs(stack.ports.services)
    url = prometheus_url(stack.ports)
    has_prometheus, *answers = await asyncio.gather(
        prometheus_answers(url), *(is_ready(spec.observability_port) for spec in specs)
    )
    return StackStatus(
        pid=stack.pid,
        uptime_s=max(0.0, time.time() - stack.started_at),
        ports=stack.ports,
        ready={spec.name: answer for spec, answer in zip(specs, answers, strict=True)},
        prometheus_url=url if has_prometheus else None,
    )


async def stop_running_stack(
    state_dir: Path = Path(".ringback"), *, within_s: float = 90
) -> RunningStack | None:
    """Stop the stack in `state_dir`, by force after `within_s`. Return it, or None.

    LocalStackError if it belongs to another user.
    """
    stack = find_running(state_dir)
    if stack is None:
        return None
    # Killing it also kills its children, through the kernel.
    for number, timeout_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, 10.0)):
        if _send(stack.pid, number) and await _gone(state_dir, timeout_s):
            break
    return stack


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError as exc:
        raise LocalStackError(f"The local stack (process {pid}) belongs to another user.") from exc
    return True


async def _gone(state_dir: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while find_running(state_dir) is not None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
