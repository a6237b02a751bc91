"""Runs the `ringback` command as a process."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from ringback.local.child import dying_with_us
from tests.support.eventually import eventually
from tests.support.service_process import COMMAND, start_program

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    out: str
    err: str


async def begin(*arguments: str, cwd: Path, **settings: str) -> asyncio.subprocess.Process:
    """Start `ringback` in a folder where no local stack runs, with only these settings."""
    return await asyncio.create_subprocess_exec(
        *dying_with_us(signal.SIGKILL),
        *[sys.executable, "-m", "ringback.cli", *arguments],
        env=_environment(settings),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process, *, deadline_s: float = 120) -> Ended:
    """Wait until the process ends; it must not print a traceback."""
    async with asyncio.timeout(deadline_s):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in out + err, (out + err).decode()
    return Ended(process.returncode, out.decode(), err.decode())


async def ringback(*arguments: str, cwd: Path, **settings: str) -> Ended:
    """Run `ringback` as `begin` does, until it ends; it must not print a traceback."""
    with TemporaryFile() as out, TemporaryFile() as err:
        command = [COMMAND, *arguments]
        process = start_program(command, _environment(settings), cwd, out, err)
        await eventually(lambda: process.poll() is not None)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    assert "Traceback" not in "".join(texts), texts
    return Ended(process.wait(), *texts)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    inherited: dict[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")
    }
    return inherited | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"} | dict(settings)
