"""A local stack in a process of its own, with fake services and free ports."""

# ruff: file-ignore[suspicious-subprocess-import] - starting a stack is what this file is for.
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringback.local.child import dying_with_us
from ringback.local.ports import (
    BrokerPorts,
    DatabasePorts,
    PrometheusPorts,
    ServicePorts,
    free_ports,
    named_ports,
    port_setting,
)
from tests.support.eventually import eventually
from tests.support.processes import alive, descendants

SCRIPT = Path(__file__).with_name("fake_stack.py")
ROOT = SCRIPT.parents[2]


@dataclass(slots=True)
class StackProcess:
    process: subprocess.Popen[bytes]
    state_dir: Path
    output_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text(encoding="utf-8")

    async def ready(self) -> None:
        def check() -> bool:
            assert self.process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        await eventually(check, deadline_s=40)

    async def ended(self) -> int:
        """Wait for its end and give its exit code."""
        await eventually(lambda: self.process.poll() is not None, deadline_s=40)
        return self.process.returncode

    async def end(self) -> None:
        """Make sure that nothing of it stays, whatever the test did."""
        if self.process.poll() is None:
            below = descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
            # Where setpriv is not found, the kernel does not end them with their parent.
            for pid in alive(below):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def free_port_settings() -> dict[str, str]:
    """Give the settings that put every port of a local stack where it is free."""
    names = [
        name
        for ports in (BrokerPorts(), DatabasePorts(), ServicePorts(), PrometheusPorts())
        for name in named_ports(ports)
    ]
    ports = free_ports(len(names))
    return {port_setting(name): str(port) for name, port in zip(names, ports, strict=True)}


def start_stack(
    state_dir: Path,
    settings: Mapping[str, str],
    *,
    bad_service: str = "",
    become: Sequence[str] = (),
) -> StackProcess:
    output_path = state_dir.with_suffix(".output")
    arguments = [str(state_dir), bad_service]
    ours = {"PYTHONPATH": str(ROOT), "COLUMNS": "200", **settings}
    env = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")}
    with output_path.open("wb") as output:
        process = subprocess.Popen(
            [*become, *dying_with_us(signal.SIGKILL), sys.executable, str(SCRIPT), *arguments],
            env=env | ours,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return StackProcess(process, state_dir, output_path)
