"""The commands that the documentation shows, run on a local stack of their own."""

# ruff: file-ignore[suspicious-subprocess-import] - the commands are for a shell.
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringback.local.ports import DemoPorts, ServicePorts, free_ports, named_ports, port_setting
from tests.architecture.source import ROOT
from tests.support.documented import blocks
from tests.support.eventually import eventually
from tests.support.stack_process import StackProcess, free_port_settings

pytestmark = pytest.mark.slow

TUTORIAL = "docs/tutorial.md"
"""tests/acceptance/test_tutorial.py runs the whole page."""


@dataclass(frozen=True)
class Checkout:
    """A folder with the repository's files and a running stack."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-e", "-c", self._with_its_ports(script)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _with_its_ports(self, script: str) -> str:
        for name, port in named_ports(ServicePorts()).items():
            script = script.replace(
                f"127.0.0.1:{port}", f"127.0.0.1:{self.environment[port_setting(name)]}"
            )
        return script


@pytest.fixture
async def checkout(tmp_path: Path) -> AsyncIterator[Checkout]:
    folder = tmp_path / "ringback"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name != ".ringback":
            (folder / entry.name).symlink_to(entry)
    # A response of 4xx or 5xx is an error.
    (tmp_path / ".curlrc").write_text("fail-with-body\n", encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | free_port_settings()
    [answers] = named_ports(DemoPorts())
    environment[port_setting(answers)] = str(free_ports(1)[0])
    stack = start_stack(folder, environment, tmp_path / "output")
    try:
        await eventually(lambda: is_ready(stack), deadline_s=240)
        yield Checkout(folder, environment)
    finally:
        stack.process.terminate()
        await eventually(lambda: stack.process.poll() is not None, deadline_s=60)
        await stack.end()


def start_stack(folder: Path, environment: dict[str, str], output: Path) -> StackProcess:
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ringback.cli", "up"],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return StackProcess(process, folder / ".ringback", output)


def is_ready(stack: StackProcess) -> bool:
    assert stack.process.poll() is None, stack.output
    return "Ctrl-C stops everything" in stack.output


def test_every_block_works_as_typed(checkout: Checkout) -> None:
    """Page after page, each in a new shell where `.venv` is activated, as the README tells."""
    failed = []

    for block in blocks():
        if block.mark is None and block.page != TUTORIAL:
            done = checkout.run(f"PATH={Path(sys.prefix) / 'bin'}:$PATH\n{block.text}")
            if done.returncode:
                failed.append(f"{block}\n{block.text}{done.stdout}{done.stderr}")

    assert not failed, "\n\n".join(failed)
