"""Which event loop runs a process; and its tasks end, even if a cancellation gets lost."""

import asyncio
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # a process of its own has no uvloop
import sys
from itertools import pairwise

import pytest

from ringback.runtime.process.background import end, keep_running
from tests.support.jumping_loop import JumpingLoop


async def test_tasks_that_go_on_after_a_cancellation_are_cancelled_again() -> None:
    """A library can replace a cancellation with its own error, which a loop then survives."""
    lost = 0

    async def loses_three() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if lost == 3:
                    raise
                lost += 1

    tasks = [asyncio.create_task(loses_three()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)

    await end(*tasks, cancel_again_s=0.01)

    assert lost == 3
    assert all(task.cancelled() for task in tasks)


async def test_one_that_ends_just_as_it_is_cancelled_is_no_error() -> None:
    """Also one that had ended before, and none at all."""
    done = asyncio.create_task(asyncio.sleep(0))
    await done

    await end(done)
    await end()


async def test_an_error_is_raised() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("a bug")

    failed, other = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(60))
    await asyncio.wait([failed])

    with pytest.raises(ValueError, match="a bug"):
        await end(failed, other)

    assert other.cancelled()


async def test_a_bug_does_not_end_a_part_for_good(capsys: pytest.CaptureFixture[str]) -> None:
    """It is logged with its traceback, and the part runs again until it is done."""
    left = [ValueError("a bug"), RuntimeError("another")]

    async def part() -> None:
        await asyncio.sleep(0)
        if left:
            raise left.pop(0)

    await keep_running(part, first_restart_s=0.01)

    logged = capsys.readouterr().out
    assert logged.count("background_task.failed") == 2
    assert "part" in logged
    assert "another" in logged


def test_after_a_minute_without_a_bug_the_next_restart_is_soon() -> None:
    """Otherwise a part with a rare bug would pause for a minute each time."""
    started_at: list[float] = []

    async def part() -> None:
        started_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(61 if len(started_at) == 4 else 0)
        if len(started_at) < 6:
            raise ValueError("a bug")

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(keep_running(part))

    assert [round(after - before) for before, after in pairwise(started_at)] == [1, 2, 4, 62, 2]


async def test_who_ends_others_can_be_cancelled() -> None:
    """It does not mistake its own cancellation for theirs."""

    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    ender = asyncio.create_task(end(task))
    await asyncio.sleep(0)

    ender.cancel()

    with pytest.raises(asyncio.CancelledError):
        await ender
    task.cancel()


PROGRAM = """
import asyncio, sys
{first}
from ringback.runtime.process import event_loop

async def main():
    return type(asyncio.get_running_loop()).__module__

print(event_loop.run(main()))
"""


@pytest.mark.parametrize(
    ("first", "loop"),
    [("", "uvloop"), ("sys.modules['uvloop'] = None", "asyncio.unix_events")],
    ids=["with uvloop", "without"],
)
def test_uvloop_is_used_where_it_is_installed(first: str, loop: str) -> None:
    program = PROGRAM.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert done.stdout.decode().strip() == loop
