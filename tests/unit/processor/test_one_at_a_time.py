import asyncio

import pytest

from services.processor.attempt.attempt import KeyedLock


async def test_those_of_one_key_follow_one_another() -> None:
    """This also works if one is cancelled while it waits, or fails during its turn."""
    turns = KeyedLock()
    inside: list[str] = []
    most = 0

    async def take(name: str, *, fails: bool = False) -> None:
        nonlocal most
        async with turns.acquire("key"):
            inside.append(name)
            most = max(most, len(inside))
            await asyncio.sleep(0.01)
            inside.remove(name)
            if fails:
                raise ValueError(name)

    tasks = [asyncio.create_task(take(name, fails=name == "b")) for name in "abcd"]
    await asyncio.sleep(0)
    tasks[2].cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)

    assert most == 1
    assert [type(end) for end in ends] == [
        type(None),
        ValueError,
        asyncio.CancelledError,
        type(None),
    ]
    assert not turns._left


async def test_those_of_other_keys_do_not_wait() -> None:
    """A slow webhook delays only its own copies."""
    turns = KeyedLock()

    async with turns.acquire("a"), asyncio.timeout(1):
        async with turns.acquire("b"):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), turns.acquire("a"):
                pytest.fail("entered twice")
