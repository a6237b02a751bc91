"""A file that identifies the stack in a folder; its lock shows whether it still runs."""

import fcntl
import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ringback.local.account import close_to_others, make_private
from ringback.local.errors import LocalStackError
from ringback.local.ports import (
    BrokerPorts,
    DatabasePorts,
    LocalPorts,
    PrometheusPorts,
    ServicePorts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    pid: int
    started_at: float
    """Seconds since 1970."""
    ports: LocalPorts


@contextmanager
def claimed(state_dir: Path, ports: LocalPorts) -> Generator[None, None, None]:
    """Create and lock `state_dir` for this process; LocalStackError if another one has the lock.

    Files that an earlier version left readable for other users are closed.
    """
    make_private(state_dir)
    path = _path(state_dir)
    # The kernel releases the lock when we end, however we end, so a stale file is recognised.
    with path.open("a+", encoding="utf-8") as file:
        if not _lock(file.fileno()):
            running = _parse(path)
            which = f" (process {running.pid})" if running else ""
            raise LocalStackError(
                f"A local stack already runs in {state_dir}{which}; `ringback down` stops it."
            )
        mine = RunningStack(pid=os.getpid(), started_at=time.time(), ports=ports)
        close_to_others(state_dir)
        file.truncate(0)
        file.write(json.dumps(asdict(mine)))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find_running(state_dir: Path) -> RunningStack | None:
    """Give the stack that runs in `state_dir`, or None."""
    path = _path(state_dir)
    try:
        with path.open(encoding="utf-8") as file:
            return None if _lock(file.fileno(), shared=True) else _parse(path)
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise LocalStackError(f"The local stack in {state_dir} is another user's.") from exc


def _path(state_dir: Path) -> Path:
    return state_dir / "stack.json"


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parse(path: Path) -> RunningStack | None:
    """None in the moment between locking and writing."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        ports = told["ports"]
        return RunningStack(
            pid=told["pid"],
            started_at=told["started_at"],
            ports=LocalPorts(
                broker=BrokerPorts(**ports["broker"]),
                database=DatabasePorts(**ports["database"]),
                services=ServicePorts(**ports["services"]),
                prometheus=PrometheusPorts(**ports["prometheus"]),
            ),
        )
    except (ValueError, KeyError, TypeError):
        return None
