"""Runs other programs: short commands, and child processes that end with this process."""

# ruff: file-ignore[suspicious-subprocess-import] - this file starts programs.
import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class LocalStackError(Exception):
    """The local stack cannot start or continue. The message is for the user."""


POLL_S = 0.02


@dataclass(slots=True)
class Child:
    """A running program in its own session, so that a Ctrl-C at the terminal does not reach it.

    On Linux the kernel ends it when the *thread* that spawned it ends, so spawn it from a thread
    that lives as long as the child should.
    """

    name: str
    process: subprocess.Popen[bytes]

    @classmethod
    def spawn(
        cls,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log_path: Path,
        cwd: Path | None = None,
        orphan_signal: signal.Signals = signal.SIGKILL,
        held_by_stdin: bool = False,
        become: Sequence[str] = (),
    ) -> Self:
        """Start `command`, its output appended to `log_path`.

        `orphan_signal` is what the kernel sends it when this process dies; `become` is a command
        prefix that changes the user; with `held_by_stdin` its input stays open until this process
        ends. OSError if it cannot be started.
        """
        with log_path.open("ab") as log:
            # ruff: ignore[subprocess-without-shell-equals-true] - the stack's own programs.
            process = subprocess.Popen(
                # Changing the user resets the parent-death signal, so that comes first.
                [*become, *dying_with_us(orphan_signal), *command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE if held_by_stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.process.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the process itself, if it has not ended."""
        if self.exit_code is None:
            self.process.send_signal(number)

    def send_group(self, number: signal.Signals) -> None:
        """Signal the process and what it started in its session."""
        if self.exit_code is None:
            os.killpg(self.pid, number)

    async def ended(self, within_s: float) -> bool:
        """Wait until it has ended and is reaped; False if it still runs after `within_s`."""
        deadline = time.monotonic() + within_s
        while self.exit_code is None:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def stop(self, number: signal.Signals, *, within_s: float) -> bool:
        """Send signal `number`, and kill its group after `within_s`; True if it ended before."""
        try:
            self.send(number)
            if await self.ended(within_s):
                return True
        except asyncio.CancelledError:
            # The caller no longer waits, but the process must not continue to run.
            self.send_group(signal.SIGKILL)
            raise
        await self.kill()
        return False

    async def kill(self) -> None:
        """Kill it and its group at once, and wait until the kernel has released it."""
        self.send_group(signal.SIGKILL)
        await self.ended(within_s=10)
        if self.process.stdin is not None:
            self.process.stdin.close()


def dying_with_us(number: signal.Signals) -> list[str]:
    """The command prefix that makes the kernel send `number` to the program when this one dies.

    Empty on systems other than Linux.
    """
    # The program replaces setpriv and keeps the setting; a preexec_fn could deadlock a process that
    # has threads.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--"] if setpriv else []


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    output: str
    errors: str


def run_command(
    command: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run `command` in the folder `/` and return its output.

    If it cannot be started or does not end in time, the exit code is that of a shell: 127 or 124.
    """
    try:
        # ruff: ignore[subprocess-without-shell-equals-true] - callers choose the program.
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", env=env, timeout=within_s
        )
    except OSError as exc:
        return Outcome(127, "", str(exc))
    except subprocess.TimeoutExpired:
        return Outcome(124, "", f"it did not end within {within_s:.0f} s")
    return Outcome(done.returncode, done.stdout, done.stderr)
