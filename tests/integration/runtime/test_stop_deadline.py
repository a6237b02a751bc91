"""A service that does not end in time after it was told to stop says why, and ends."""

import signal
from collections.abc import Iterator

import orjson
import pytest

from tests.integration.runtime.test_lifecycle import Program, start

ARMED = """
    from ringback.runtime.observability import logs
    from ringback.runtime.process import lifecycle
    from ringback.runtime.process.settings import LogSettings
    logs.configure("gateway", LogSettings())
    lifecycle._AFTER_DRAIN_S = 0.2
    lifecycle.end_in_time(stop, drain_timeout_s=0.1)
    await asyncio.sleep(0)
"""
ENDS = """
    print("armed", flush=True)
    await stop.wait()
"""
HANGS = """
    async def inner(secret):
        await asyncio.Event().wait()
    async def outer():
        await inner("canary-1234")
    task = asyncio.create_task(outer())
    print("armed", flush=True)
    await stop.wait()
    await task
"""
BLOCKS = """
    import time
    print("armed", flush=True)
    await stop.wait()
    time.sleep(3600)
"""


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        program.process.kill()
        program.process.communicate()


def stopped(programs: list[Program], body: str) -> tuple[int, dict[str, object]]:
    """The exit status of a program that was told to stop, and its last line."""
    program = start(programs, ARMED.strip() + body)
    assert program.process.stdout is not None
    assert program.process.stdout.readline() == "armed\n"
    program.process.send_signal(signal.SIGTERM)
    code, out, _ = program.ended()
    return code, orjson.loads(out.splitlines()[-1])


def test_the_tasks_that_still_run_are_named_with_their_stacks(programs: list[Program]) -> None:
    """Down to what each waits for; by files, lines and functions, without any value."""
    code, line = stopped(programs, HANGS)

    assert code == 1
    assert line["event"] == "service.stop_overdue"
    stacks = [" ".join(stack) for stack in line["tasks"]]  # type: ignore[attr-defined]
    [stuck] = [stack for stack in stacks if "outer" in stack.split(" ")[1]]
    assert "inner" in stuck
    assert "Event.wait" in stuck
    assert "canary" not in str(line)


def test_a_loop_that_is_blocked_is_named(programs: list[Program]) -> None:
    """The place in the program where it does not go on."""
    code, line = stopped(programs, BLOCKS)

    assert code == 1
    assert "main" in str(line["stack"])


def test_one_that_ends_in_time_says_nothing(programs: list[Program]) -> None:
    """The deadline goes with the process."""
    program = start(programs, ARMED.strip() + ENDS)
    program.process.send_signal(signal.SIGTERM)

    assert program.ended() == (0, "armed\n", "")
