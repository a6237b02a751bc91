"""Tests for ringback.runtime.process.lifecycle: how a process starts, stops and fails."""

import ast
import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the project's own programs
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.processes import descendants

ROOT = Path(__file__).parents[3]

#: A PID namespace of its own; the process in it is killed when the one outside ends.
NAMESPACE = (
    *("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL"),
    *(sys.executable, "-c"),
)

SERVICE = """
import asyncio, sys, time
from ringback.runtime.observability import logs
from ringback.runtime.process import lifecycle
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.runtime.process.settings import BrokerSettings, LogSettings, load

async def main(stop):
    print("up", flush=True)
    {body}

sys.exit(lifecycle.run(main))
"""

DEADLINE = """
    logs.configure("gateway", LogSettings())
    lifecycle.end_in_time(stop, drain_timeout_s=0.1, after_drain_s=0.2)
    await asyncio.sleep(0)
    print("armed", flush=True)
    {body}
"""

HANGS = """
    async def inner(secret):
        await asyncio.Event().wait()
    async def outer():
        await inner("canary-1234")
    task = asyncio.create_task(outer())
    await stop.wait()
    await task
"""

LOADS = """
import sys
from ringback.runtime.process.end_by_signal import end_by_sigterm
end_by_sigterm()
print("up", flush=True)
sys.stdin.read()
"""
"""Reads its input at the point where a service would import its modules."""

DRAINS = "await stop.wait(); print('draining', flush=True); await asyncio.sleep(60)"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program and waits for its first line."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        program: str,
        environ: dict[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-W", "error", "-c"),
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)} | (environ or {}),
        )
        started.append(process)
        assert line_of(process) == "up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def result(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; stdout only from the last read line on."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    return process.wait(timeout=60), out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_service_stop_in_its_own_order(
    start: Start, number: signal.Signals
) -> None:
    """The service finishes its work, and the exit status is 0."""
    process = start(SERVICE.format(body="await stop.wait(); print('drained')"))

    process.send_signal(number)

    assert result(process) == (0, "drained\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(start: Start, number: signal.Signals) -> None:
    """An operator who sends it again does not want to wait."""
    process = start(SERVICE.format(body=DRAINS))

    process.send_signal(number)
    assert line_of(process) == "draining\n"
    process.send_signal(number)

    assert result(process)[0] == -number


def test_invalid_settings_are_sentences(start: Start) -> None:
    """One line for each variable, no stack, and a separate exit status."""
    process = start(
        SERVICE.format(body="load(BrokerSettings)"),
        {"RINGBACK_RETRY_SCHEDULE": "soon", "RINGBACK_AMQP_URL": ""},
    )

    assert result(process) == (
        2,
        "",
        (
            "These settings cannot be used:\n"
            "RINGBACK_RETRY_SCHEDULE: 'soon' is not a delay such as 500ms, 2s, 5m or 1h\n"
            "RINGBACK_AMQP_URL: is required and not set\n"
        ),
    )


def test_an_unmet_precondition_is_a_sentence(start: Start) -> None:
    """Such as a port in use or a missing topology: an operator can fix it."""
    body = "raise CannotStartError('The queue x does not exist.')"

    assert result(start(SERVICE.format(body=body))) == (1, "", "The queue x does not exist.\n")


@pytest.mark.parametrize("raised", ["RuntimeError('bug')", "ExceptionGroup('of', [OSError()])"])
def test_a_bug_is_a_failure_with_its_stack(start: Start, raised: str) -> None:
    status, out, _ = result(start(SERVICE.format(body=f"raise {raised}")))

    assert status == 1
    assert "service.failed" in out
    assert "Traceback" in out


def overdue(start: Start, body: str) -> tuple[int, dict[str, object]]:
    """Exit status and last log line of a service that does not stop in time."""
    process = start(SERVICE.format(body=DEADLINE.strip().format(body=body.strip())))
    assert line_of(process) == "armed\n"
    process.send_signal(signal.SIGTERM)
    code, out, _ = result(process)
    return code, orjson.loads(out.splitlines()[-1])


def test_an_overdue_stop_logs_the_running_tasks_with_their_stacks(start: Start) -> None:
    """With files, lines and functions, but without values."""
    code, line = overdue(start, HANGS)

    assert code == 1
    assert line["event"] == "service.stop_overdue"
    stacks = [" ".join(stack) for stack in line["tasks"]]  # type: ignore[attr-defined]
    [stuck] = [stack for stack in stacks if "outer" in stack.split(" ")[1]]
    assert "inner" in stuck
    assert "Event.wait" in stuck
    assert "canary" not in str(line)


def test_an_overdue_stop_logs_where_the_loop_is_blocked(start: Start) -> None:
    code, line = overdue(start, "await stop.wait(); time.sleep(3600)")

    assert code == 1
    assert "main" in str(line["stack"])


def test_a_stop_in_time_logs_nothing(start: Start) -> None:
    within_a_minute = DEADLINE.replace("after_drain_s=0.2", "after_drain_s=60")
    process = start(SERVICE.format(body=within_a_minute.strip().format(body="await stop.wait()")))
    assert line_of(process) == "armed\n"

    process.send_signal(signal.SIGTERM)

    assert result(process) == (0, "", "")


@pytest.fixture
def start_as_pid_1(start: Start) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a program as PID 1, which no signal ends by default."""
    try:
        tried = subprocess.run([*NAMESPACE, "pass"], check=False, timeout=60).returncode
    except (OSError, subprocess.TimeoutExpired):
        tried = 1
    if tried != 0:
        pytest.skip("this machine does not let its users create PID namespaces")
    return lambda program: start(program, command=NAMESPACE)


def send_inside(process: subprocess.Popen[str], number: signal.Signals) -> None:
    (inside,) = descendants(process.pid)
    os.kill(inside, number)


def test_sigterm_ends_pid_1_while_it_loads(
    start_as_pid_1: Callable[[str], subprocess.Popen[str]],
) -> None:
    """A container that is stopped during its start ends before it is killed."""
    process = start_as_pid_1(LOADS)

    send_inside(process, signal.SIGTERM)

    assert process.wait(timeout=60) == 128 + signal.SIGTERM


def test_a_second_signal_ends_pid_1(
    start_as_pid_1: Callable[[str], subprocess.Popen[str]],
) -> None:
    """The first signal lets it drain, as outside of a container."""
    process = start_as_pid_1(SERVICE.format(body=DRAINS))

    send_inside(process, signal.SIGINT)
    assert line_of(process) == "draining\n"
    send_inside(process, signal.SIGINT)

    assert process.wait(timeout=60) == 128 + signal.SIGINT


@pytest.mark.parametrize("service", ["gateway", "processor", "metrics"])
def test_a_service_handles_sigterm_before_it_loads(service: str) -> None:
    """Nothing that takes long is imported before."""
    tree = ast.parse(
        (ROOT / "ringback" / "services" / service / "__main__.py").read_text(encoding="utf-8")
    )

    *before, guarded = tree.body

    assert [ast.unparse(line) for line in before] == [
        "import sys",
        "from ringback.runtime.process.end_by_signal import end_by_sigterm",
    ]
    assert isinstance(guarded, ast.If)
    assert ast.unparse(guarded.body[0]) == "end_by_sigterm()"
