"""Which webhook is attempted next, how many at once, and whose share that is."""

import asyncio
import math
from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.processor.attempt.fair_share import (
    ACTIVE_S,
    HANGS_S,
    STUCK_S,
    TURNS_IN_A_ROW,
    Blocked,
    Shares,
    SlotRequest,
    next_queue,
    slot_request,
)
from ringback.services.processor.attempt.handler_slots import (
    HandlerSlots,
    NotBegunError,
    ShareExceededError,
)
from ringback.services.processor.attempt.policy import SourceQueue
from tests.support.eventually import eventually
from tests.unit.processor.events import ENVELOPE

DUE, WORK, BULK = SourceQueue.DUE, SourceQueue.WORK, SourceQueue.BULK
A, B, C = (UUID(int=number) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("waiting", "due_turns", "work_turns", "expected"),
    [
        ({DUE}, TURNS_IN_A_ROW, 0, DUE),
        ({WORK}, 0, TURNS_IN_A_ROW, WORK),
        ({BULK}, 0, 0, BULK),
        ({DUE, WORK}, 0, 0, DUE),
        ({DUE, WORK}, TURNS_IN_A_ROW - 1, 0, DUE),
        ({DUE, WORK}, TURNS_IN_A_ROW, 0, WORK),
        ({DUE, BULK}, TURNS_IN_A_ROW - 1, 0, DUE),
        ({DUE, BULK}, TURNS_IN_A_ROW, 0, BULK),
        ({WORK, BULK}, 0, TURNS_IN_A_ROW - 1, WORK),
        ({WORK, BULK}, 0, TURNS_IN_A_ROW, BULK),
        ({DUE, WORK, BULK}, 0, TURNS_IN_A_ROW, DUE),
        ({DUE, WORK, BULK}, TURNS_IN_A_ROW, 0, WORK),
        ({DUE, WORK, BULK}, TURNS_IN_A_ROW, TURNS_IN_A_ROW, BULK),
    ],
)
def test_each_queue_gets_its_turn(
    waiting: set[SourceQueue], due_turns: int, work_turns: int, expected: SourceQueue
) -> None:
    assert next_queue(waiting, due_turns=due_turns, work_turns=work_turns) is expected


@pytest.mark.parametrize(
    ("slots", "used", "since_other_s", "is_blocked"),
    [
        (5, 2, 0.0, False),
        (5, 3, 0.0, True),
        (5, 3, ACTIVE_S - 1, True),
        (5, 3, ACTIVE_S, False),  # The other one is no longer active.
        (5, 3, None, False),  # There is no other one.
        (1, 0, 0.0, False),  # One slot at least.
        (2, 1, 0.0, True),
        (10, 5, 0.0, False),
        (10, 6, 0.0, True),
    ],
)
@pytest.mark.parametrize("destination", [None, "crm"])
def test_the_share_of_an_org_or_destination(
    *, slots: int, used: int, since_other_s: float | None, is_blocked: bool, destination: str | None
) -> None:
    """It has at most 60 % of the slots while others are active."""
    request = SlotRequest(WORK, A, destination)
    other = SlotRequest(WORK, A if destination else B)
    shares, now_s = Shares(slots=slots, prefetch=500), 100.0
    if since_other_s is not None:
        shares.arrived(other, now_s - since_other_s)
    for _ in range(used):
        shares.arrived(request, now_s)
        shares.took_slot(request, now_s)
    shares.arrived(request, now_s)

    blocked = shares.blocked(request, now_s)
    assert (blocked is not None) is is_blocked
    assert blocked is None or blocked.park_at_s == math.inf
    if since_other_s is not None:
        assert shares.blocked(other, now_s) is None


@pytest.mark.parametrize(
    ("source", "waiting", "unchanged_s", "park_at_s", "hangs"),
    [
        (WORK, 3, 0.25, 100 + STUCK_S, False),
        (DUE, 3, HANGS_S, 100 + STUCK_S, True),
        (WORK, 1, 0.25, math.inf, False),  # The prefetch carries that many.
        (BULK, 3, 0.25, math.inf, True),  # It delays only other floods.
    ],
)
def test_what_the_prefetch_cannot_carry_is_parked(
    *, source: SourceQueue, waiting: int, unchanged_s: float, park_at_s: float, hangs: bool
) -> None:
    """As soon as the slots of its org have not changed for a moment."""
    shares, request = Shares(slots=2, prefetch=5), SlotRequest(source, A)
    shares.arrived(request, 100.0)
    shares.took_slot(request, 100.0)
    for _ in range(waiting):
        shares.arrived(request, 100.0)
    now_s = 100.0 + unchanged_s
    shares.arrived(SlotRequest(WORK, B), now_s)

    assert shares.blocked(request, now_s) == Blocked(park_at_s, now_s + ACTIVE_S, hangs)


def test_an_org_in_the_bulk_queue_does_not_wait_elsewhere_first() -> None:
    shares, request = Shares(slots=1, prefetch=1), SlotRequest(WORK, A)
    for one in (SlotRequest(WORK, B), SlotRequest(BULK, A), request, request):
        shares.arrived(one, 100.0)
    shares.took_slot(request, 100.0)

    for hangs in (True, False):
        expected = Blocked(100 + STUCK_S, 100 + ACTIVE_S, hangs)
        assert shares.blocked(request, 100.2) == expected
        if hangs:
            shares.left(SlotRequest(BULK, A))


def test_only_a_forward_names_its_destination() -> None:
    forward = replace(ENVELOPE, forward="crm", forward_of=ENVELOPE.job_id)

    assert slot_request(WORK, ENVELOPE) == SlotRequest(WORK, ENVELOPE.org_id)
    assert slot_request(DUE, forward) == SlotRequest(
        DUE, ENVELOPE.org_id, f"{ENVELOPE.endpoint_id}/crm"
    )


class Attempts:
    """Attempts that take a slot and keep it until they may end."""

    def __init__(self, limit: int) -> None:
        self.now_s = 100.0
        self.slots = HandlerSlots(limit, clock=lambda: self.now_s)
        self.started: list[SlotRequest] = []
        self.ended = asyncio.Event()

    async def make(self, request: SlotRequest) -> None:
        async with self.slots.acquire(request):
            self.started.append(request)
            await self.ended.wait()

    async def begin(self, *requests: SlotRequest) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.make(request)) for request in requests]
        await settled()
        return tasks


def of(source: SourceQueue, org: UUID = A) -> SlotRequest:
    return SlotRequest(source, org)


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("limit", [1, 5])
async def test_a_flood_of_retries_leaves_first_attempts_one_turn_in_five(limit: int) -> None:
    """And a flood of first attempts leaves the bulk queue one in five, with any number of slots."""
    attempts = Attempts(limit)
    busy = [of(BULK)] * limit
    await attempts.begin(*busy, *[of(WORK)] * 8, *[of(BULK)] * 2, *[of(DUE)] * 50)
    assert attempts.started == busy
    attempts.ended.set()
    await eventually(lambda: len(attempts.started) == limit + 60)

    turns = [request.source for request in attempts.started[limit:]]
    works = [WORK] * 4 + [BULK]
    assert turns[:50] == [turn for first in works * 2 for turn in (*[DUE] * 4, first)]
    assert turns[50:] == [DUE] * 10


async def test_the_bulk_queue_takes_all_slots_when_nothing_else_waits() -> None:
    """Of several orgs, each up to its share; of one, all of them."""
    alone, several = Attempts(5), Attempts(5)
    await alone.begin(*[of(BULK)] * 7)
    await several.begin(of(BULK, B), *[of(BULK, A)] * 7, of(BULK, B), of(BULK, B))

    assert len(alone.started) == 5
    assert Counter(request.org_id for request in several.started) == {A: 3, B: 2}


async def other_org_is_active(attempts: Attempts) -> None:
    attempts.ended.set()
    await asyncio.gather(*await attempts.begin(of(WORK, B)))
    attempts.ended.clear()


async def test_slots_and_places_are_free_for_others_while_an_org_hangs() -> None:
    """What the prefetch of a queue cannot carry gets an error."""
    attempts = Attempts(5)
    await other_org_is_active(attempts)

    tasks = await attempts.begin(*[of(BULK)] * 3, *[of(WORK)] * 4, of(BULK))
    assert len(attempts.started) == 4
    attempts.now_s += STUCK_S
    # No event comes: the slots look by themselves.
    await eventually(lambda: any(task.done() for task in tasks))
    parked = [task for task in tasks if task.done()]
    assert len(parked) == 3
    assert all(isinstance(task.exception(), ShareExceededError) for task in parked)
    assert set(parked) < set(tasks[3:7])
    await attempts.begin(of(WORK, B), of(WORK, C))

    assert [request.org_id for request in attempts.started[4:]] == [B, C]
    assert len([task for task in tasks if task.done()]) == 3


async def test_an_org_whose_slots_change_keeps_its_place() -> None:
    """Only a webhook whose org returns no slot is parked."""
    attempts = Attempts(2)
    await other_org_is_active(attempts)
    tasks = await attempts.begin(*[of(WORK)] * 3)
    for started in (3, 4):
        attempts.now_s += STUCK_S * 0.9
        attempts.ended.set()
        await settled()
        attempts.ended.clear()
        assert len(attempts.started) >= started

    attempts.ended.set()
    await asyncio.gather(*tasks)


async def test_closed_slots_turn_away_those_that_wait_and_those_that_come() -> None:
    """An attempt with a slot continues. It opens when the last reason is withdrawn."""
    attempts = Attempts(1)
    begun, *waiting = await attempts.begin(of(WORK), of(WORK), of(DUE), of(BULK))

    attempts.slots.close("pause")
    attempts.slots.close("database")
    attempts.slots.open("pause")
    [late] = await attempts.begin(of(WORK))
    for task in (*waiting, late):
        with pytest.raises(NotBegunError):
            await task
    assert not begun.done()
    attempts.slots.open("database")
    [next_one] = await attempts.begin(of(WORK))
    attempts.ended.set()
    await asyncio.gather(begun, next_one)

    assert attempts.started == [of(WORK)] * 2


async def test_no_slot_is_lost_when_a_waiting_attempt_is_cancelled() -> None:
    """While it waits, and in the moment between its turn and its start."""
    attempts = Attempts(1)
    async with attempts.slots.acquire(of(WORK)):
        waiting, its_turn = await attempts.begin(of(WORK), of(WORK))
        waiting.cancel()
        await settled()
    its_turn.cancel()
    attempts.ended.set()

    await asyncio.gather(waiting, its_turn, return_exceptions=True)
    [last] = await attempts.begin(of(SourceQueue.QUARANTINE))
    await settled()

    assert last.done()
    assert attempts.started == [of(SourceQueue.QUARANTINE)]


REQUESTS = st.builds(SlotRequest, st.sampled_from([DUE, WORK, BULK]), st.sampled_from([A, B, C]))


@given(st.integers(1, 6), st.lists(st.one_of(REQUESTS, st.integers(0, 20)), max_size=40))
async def test_slots_are_neither_lost_nor_overbooked(
    limit: int, steps: list[SlotRequest | int]
) -> None:
    """After any arrivals, ends and cancellations, a free slot means that nobody may have it."""
    slots = HandlerSlots(limit, clock=lambda: 100.0)
    ends: list[asyncio.Event] = []
    running: list[SlotRequest] = []
    tasks: list[asyncio.Task[None]] = []

    async def make(request: SlotRequest, end: asyncio.Event) -> None:
        async with slots.acquire(request):
            running.append(request)
            try:
                await end.wait()
            finally:
                running.remove(request)

    for step in steps:
        if isinstance(step, SlotRequest):
            ends.append(asyncio.Event())
            tasks.append(asyncio.create_task(make(step, ends[-1])))
        elif step % 2 and tasks:
            tasks[step % len(tasks)].cancel()
        elif ends:
            ends[step % len(ends)].set()
        await settled()
        assert len(running) <= limit
        waiting = sum(not task.done() for task in tasks) - len(running)
        if waiting and len(running) < limit:
            most = max(Counter(request.org_id for request in running).values())
            assert most >= max(1, limit * 6 // 10)
    for end in ends:
        end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not running
