"""The commands of the tutorial do what it says, as typed, but for the ports."""

# ruff: file-ignore[suspicious-subprocess-import] - the tutorial's commands are programs.
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture.source import ROOT
from tests.support.eventually import eventually
from tests.support.processes import alive, descendants
from tests.support.stack_process import free_port_settings

PAGE = ROOT / "docs" / "tutorial.md"
_STEP = re.compile(
    r"^Save this as `(?P<path>[^`]+)`:\n\n```python\n(?P<source>.*?)^```$"
    r"|^(?P<fails><!-- exits with an error -->\n)?```sh\n(?P<command>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Step(NamedTuple):
    path: str | None
    source: str | None
    fails: str | None
    command: str | None


STEPS = [Step(**found.groupdict()) for found in _STEP.finditer(PAGE.read_text(encoding="utf-8"))]


class FirstTerminal:
    """Where `make run` runs until Ctrl-C."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self.env = env
        self._process: subprocess.Popen[bytes] | None = None
        self.path = folder / "terminal.output"

    @property
    def output(self) -> str:
        return self.path.read_text(encoding="utf-8")

    async def run(self, command: str) -> None:
        await self.interrupt()
        self._process = process = self._spawn(command)

        def is_ready() -> bool:
            assert process.poll() is None, self.output
            return "Ctrl-C stops everything" in self.output

        await eventually(is_ready, deadline_s=120)

    def _spawn(self, command: str) -> subprocess.Popen[bytes]:
        with self.path.open("wb") as output:
            return subprocess.Popen(
                ["sh", "-c", command],
                cwd=self._folder,
                env=self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def interrupt(self) -> None:
        """Press Ctrl-C, which reaches the shell, make and the stack."""
        process = self._process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            await eventually(lambda: process.poll() is not None, deadline_s=120)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            below = descendants(self._process.pid)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for pid in alive(below):
                os.kill(pid, signal.SIGKILL)


def second_terminal(
    command: str, folder: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose environment is installed already."""
    folder = tmp_path / "ringback"
    folder.mkdir()
    for name in ("ringback", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    (folder / ".venv" / "local.stamp").touch()
    return folder


@pytest.fixture
async def terminal(clone: Path) -> AsyncIterator[FirstTerminal]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")}
    started = FirstTerminal(clone, env | free_port_settings())
    yield started
    await started.interrupt()
    started.end()


@pytest.mark.slow
async def test_every_step_works(terminal: FirstTerminal, clone: Path) -> None:
    env = terminal.env
    assert len(STEPS) == 16
    for step in STEPS:
        if step.path is not None and step.source is not None:
            (clone / step.path).write_text(step.source, encoding="utf-8")
            continue
        assert step.command is not None
        command = step.command.strip()
        if command.endswith("make run"):
            await terminal.run(command)
            continue
        command = command.replace("127.0.0.1:8080", f"127.0.0.1:{env['RINGBACK_GATEWAY_PORT']}")
        done = second_terminal(command, clone, env)
        assert (done.returncode != 0) is (step.fails is not None), (command, done)
        if command.startswith("sed"):
            await eventually(
                lambda: "The processor runs with the new handlers" in terminal.output,
                deadline_s=120,
            )
        if command.startswith("cat"):
            assert re.fullmatch(r"\S+: \S.*\n", done.stdout), done
