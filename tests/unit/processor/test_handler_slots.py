"""Which webhook is attempted next, and how many at once."""

import asyncio

import pytest

from services.processor.attempt.handler_slots import (
    DUE_TURNS_IN_A_ROW,
    HandlerSlots,
    NotBegunError,
    is_turn_of_due,
)


@pytest.mark.parametrize(
    ("due_waits", "first_waits", "due_turns", "expected"),
    [
        (True, False, 0, True),
        (True, False, DUE_TURNS_IN_A_ROW, True),
        (False, True, 0, False),
        (True, True, 0, True),
        (True, True, DUE_TURNS_IN_A_ROW - 1, True),
        (True, True, DUE_TURNS_IN_A_ROW, False),
    ],
)
def test_due_retries_come_first_but_yield(
    *, due_waits: bool, first_waits: bool, due_turns: int, expected: bool
) -> None:
    """After DUE_TURNS_IN_A_ROW due retries, a waiting first attempt gets its turn."""
    is_due = is_turn_of_due(due_waits=due_waits, first_waits=first_waits, due_turns=due_turns)
    assert is_due is expected


class Attempts:
    """Attempts that take a slot and keep it until `ended` is set."""

    def __init__(self, limit: int) -> None:
        self.slots = HandlerSlots(limit)
        self.started: list[str] = []
        self.ended = asyncio.Event()

    async def make(self, name: str) -> None:
        async with self.slots.acquire(is_due=name == "due"):
            self.started.append(name)
            await self.ended.wait()

    async def begin(self, *names: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.make(name)) for name in names]
        await settled()
        return tasks


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("limit", [1, 5])
async def test_a_flood_of_retries_leaves_first_attempts_one_turn_in_five(limit: int) -> None:
    """With any number of slots. What one kind does not need goes to the other."""
    attempts = Attempts(limit)
    tasks = await attempts.begin(*["busy"] * limit, *["first"] * 5, *["due"] * 30)
    assert attempts.started == ["busy"] * limit

    attempts.ended.set()
    await asyncio.gather(*tasks)

    assert attempts.started[limit:][:25] == (["due"] * 4 + ["first"]) * 5
    assert attempts.started[limit:][25:] == ["due"] * 10


async def test_closed_slots_turn_away_those_that_wait_and_those_that_come() -> None:
    """An attempt with a slot continues. It opens when the last reason is withdrawn."""
    attempts = Attempts(1)
    begun, *waiting = await attempts.begin("first", "first", "due")

    attempts.slots.close("pause")
    attempts.slots.close("database")
    attempts.slots.open("pause")
    [late] = await attempts.begin("first")
    for task in (*waiting, late):
        with pytest.raises(NotBegunError):
            await task
    assert not begun.done()
    attempts.slots.open("database")
    [next_one] = await attempts.begin("first")
    attempts.ended.set()
    await asyncio.gather(begun, next_one)

    assert attempts.started == ["first", "first"]


async def test_no_slot_is_lost_when_a_waiting_attempt_is_cancelled() -> None:
    """While it waits, and in the moment between its turn and its start."""
    attempts = Attempts(1)
    async with attempts.slots.acquire(is_due=False):
        waiting, its_turn = await attempts.begin("first", "first")
        waiting.cancel()
        await settled()
    its_turn.cancel()
    attempts.ended.set()

    await asyncio.gather(waiting, its_turn, return_exceptions=True)
    [last] = await attempts.begin("due")
    await settled()

    assert last.done()
    assert attempts.started == ["due"]
