"""Run a short program to its end."""

# ruff: file-ignore[suspicious-subprocess-import] - starting programs is what this file is for.
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    exit_code: int
    output: str
    errors: str


def run_to_end(
    command: Sequence[str], *, within_s: float, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run `command` outside our folders and return its output.

    One that cannot be started or does not end in time has an exit code as in a shell.
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
