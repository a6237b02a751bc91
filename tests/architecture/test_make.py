"""`make test` and `make test-slow` together run every test, each once."""

# ruff: file-ignore[suspicious-subprocess-import] - make is a program.
import os
import shlex
import subprocess

from tests.architecture.source import ROOT


def pytest_options(target: str) -> list[list[str]]:
    """The options of each pytest that a target runs."""
    outside = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    dry_run = subprocess.run(
        ["make", "-n", target], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    ).stdout
    commands = (shlex.split(line) for line in dry_run.splitlines() if "pytest" in line)
    return [command[1:] for command in commands if command[0].endswith("pytest")]


def test_the_targets_select_by_the_marker_alone() -> None:
    """One selects what the other leaves out, and `make test-all` runs both."""
    [fast], [slow] = pytest_options("test"), pytest_options("test-slow")

    assert fast[:-2] == slow[:-2] == ["-n", "3", "--dist", "worksteal"]
    assert fast[-2:] == ["-m", "not slow"]
    assert slow[-2:] == ["-m", "slow"]
    assert pytest_options("test-all") == [fast, slow]


def test_ci_runs_every_test_once() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert [line for line in script.splitlines() if line.startswith("make test")] == [
        "make test-all"
    ]
