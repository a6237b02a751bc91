"""Hooks run in order and in bounded time, whatever they do."""

import asyncio
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys

import pytest

from ringback.services.processor.attempt.handlers import HandlersError
from ringback.services.processor.attempt.hooks import run_start_hooks, run_stop_hooks
from ringback.services.processor.attempt.run_handlers import has_abandoned_handlers
from tests.support.eventually import eventually

SOON_S = 0.05


async def test_hooks_run_in_turn_and_stop_in_reverse() -> None:
    """Plain functions run in the event loop too, where they may create clients."""
    seen: list[str] = []

    def plain() -> None:
        asyncio.get_running_loop()
        seen.append("plain")

    async def coroutine() -> None:
        await asyncio.sleep(0)
        seen.append("coroutine")

    await run_start_hooks([plain, coroutine])
    errors = await run_stop_hooks([plain, coroutine])

    assert seen == ["plain", "coroutine", "coroutine", "plain"]
    assert errors == []


@pytest.mark.parametrize("error", [ConnectionRefusedError("no crm"), SystemExit("no crm")])
async def test_a_start_hook_that_raises_is_named(error: BaseException) -> None:
    """The hooks after it do not run."""

    async def fails() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(HandlersError, match=rf"fails failed: {type(error).__name__}: no crm"):
        await run_start_hooks([fails, lambda: pytest.fail("ran after a failure")])


class _SilentError(Exception):
    def __str__(self) -> str:
        raise ValueError


async def test_a_start_hook_is_named_even_if_its_error_has_no_text() -> None:
    def fails() -> None:
        raise _SilentError

    with pytest.raises(HandlersError, match=r"fails failed: _SilentError: $"):
        await run_start_hooks([fails])


async def test_a_start_hook_that_does_not_end_is_named() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    with pytest.raises(HandlersError, match="hangs did not end"):
        await run_start_hooks([hangs], timeout_s=SOON_S)


async def test_stop_hooks_all_run_whatever_one_does() -> None:
    """One that raises, hangs or ignores its cancellation is reported."""
    seen: list[str] = []
    release = asyncio.Event()

    async def last() -> None:
        await asyncio.sleep(0)
        seen.append("last")

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    def fails() -> None:
        raise ValueError

    errors = await run_stop_hooks(
        [last, hangs, stubborn, fails], timeout_s=SOON_S, cancel_wait_s=SOON_S
    )
    was_abandoned = has_abandoned_handlers()
    release.set()

    await eventually(lambda: not has_abandoned_handlers())
    await eventually(lambda: seen == ["last"])
    assert was_abandoned
    names = [name.rpartition(".")[2] for name, _ in errors]
    assert names[:3] == ["fails", "stubborn", "hangs"]


@pytest.mark.parametrize(
    "body",
    [
        "def stuck():\n    time.sleep(600)\n",
        (
            "async def stuck():\n"
            "    while True:\n"
            "        try:\n            await asyncio.sleep(600)\n"
            "        except asyncio.CancelledError:\n            pass\n"
        ),
    ],
)
def test_a_start_hook_that_nothing_can_interrupt_ends_the_process(body: str) -> None:
    """It blocks the event loop, or ignores its cancellation. A sentence names it."""
    program = (
        "import asyncio, time\n"
        "from ringback.services.processor.attempt.hooks import run_start_hooks\n"
        f"{body}"
        "asyncio.run(run_start_hooks([stuck], timeout_s=0.05, cancel_wait_s=0.05, exits=True))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 1
    assert done.stderr == (
        "The hook __main__.stuck did not end in time: all hooks with @on_start together get "
        "0.05 s. Move slow work to its first use.\n"
    )
