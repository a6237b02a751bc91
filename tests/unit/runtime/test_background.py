"""Tasks end, even if a cancellation gets lost."""

import asyncio

import pytest

from ringback.runtime.process.background import end


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
