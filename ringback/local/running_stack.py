"""Ask about a stack that runs in another process, and stop it."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ringback.local.errors import LocalStackError
from ringback.local.ports import LocalPorts
from ringback.local.prometheus import prometheus_answers, prometheus_url
from ringback.local.stack_file import RunningStack, find_running
from ringback.local.stack_service import is_ready, service_specs

POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    pid: int
    uptime_s: float
    ports: LocalPorts
    ready: Mapping[str, bool]
    """Each service by name, and whether it reports itself as ready."""
    prometheus_url: str | None
    """None where no Prometheus answers."""


async def stack_status(state_dir: Path = Path(".ringback")) -> StackStatus | None:
    """Give what runs in `state_dir` and which services are ready; None if nothing runs."""
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
    """Stop the stack in `state_dir`, by force after `within_s`, and give what it was, or None.

    LocalStackError if it belongs to another user.
    """
    stack = find_running(state_dir)
    if stack is None:
        return None
    # Killing it also kills its children, through the kernel.
    for number, patience_s in ((signal.SIGTERM, within_s), (signal.SIGKILL, 10.0)):
        if _send(stack.pid, number) and await _gone(state_dir, patience_s):
            break
    return stack


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError as exc:
        raise LocalStackError(f"The local stack (process {pid}) is another user's.") from exc
    return True


async def _gone(state_dir: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while find_running(state_dir) is not None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
