"""Tests for ringback.runtime.process.lifecycle."""

import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the project's own programs
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, sys
from ringback.runtime.process import lifecycle
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.runtime.process.settings import BrokerSettings, load

async def main(stop):
    print("up", flush=True)
    {body}

sys.exit(lifecycle.run(main))
"""


class Program:
    """A process whose main is the given line of code."""

    def __init__(self, body: str, environ: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM.format(body=body)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)} | (environ or {}),
        )

    def until_up(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def ended(self) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.communicate()


def start(programs: list[Program], body: str, environ: dict[str, str] | None = None) -> Program:
    program = Program(body, environ)
    programs.append(program)
    program.until_up()
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_stops_in_its_own_order(
    programs: list[Program], number: signal.Signals
) -> None:
    """The service hears of it, finishes, and the exit status is 0."""
    program = start(programs, "await stop.wait(); print('drained')")

    program.process.send_signal(number)

    assert program.ended() == (0, "drained\n", "")


def test_a_main_that_ends_is_a_success(programs: list[Program]) -> None:
    """Nothing waits for a signal then."""
    assert start(programs, "pass").ended() == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_ends_at_once(programs: list[Program], number: signal.Signals) -> None:
    """Who asks again does not want to wait for what hangs."""
    program = start(
        programs, "await stop.wait(); print('draining', flush=True); await asyncio.sleep(60)"
    )
    assert program.process.stdout is not None

    program.process.send_signal(number)
    draining = program.process.stdout.readline()
    program.process.send_signal(number)

    assert draining == "draining\n"
    assert program.ended()[0] == -number


def test_bad_settings_are_sentences(programs: list[Program]) -> None:
    """One line for each variable, no stack, and an exit status that says: do not try again."""
    program = start(
        programs,
        "load(BrokerSettings)",
        {"RINGBACK_RETRY_SCHEDULE": "soon", "RINGBACK_AMQP_URL": ""},
    )

    assert program.ended() == (
        2,
        "",
        (
            "These settings cannot be used:\n"
            "RINGBACK_RETRY_SCHEDULE: 'soon' is not a delay such as 500ms, 2s, 5m or 1h\n"
            "RINGBACK_AMQP_URL: is required and not set\n"
        ),
    )


def test_what_is_not_as_it_must_be_is_a_sentence(programs: list[Program]) -> None:
    """A port that is taken, a topology that does not stand: a person can mend it."""
    program = start(programs, "raise CannotStartError('The queue x does not exist.')")

    assert program.ended() == (1, "", "The queue x does not exist.\n")


@pytest.mark.parametrize("raised", ["RuntimeError('bug')", "ExceptionGroup('of', [OSError()])"])
def test_a_bug_is_a_failure_with_its_stack(programs: list[Program], raised: str) -> None:
    """Whoever looks after it needs the stack, and the system must not take it for a success."""
    status, out, _ = start(programs, f"raise {raised}").ended()

    assert status == 1
    assert "service.failed" in out
    assert "Traceback" in out
