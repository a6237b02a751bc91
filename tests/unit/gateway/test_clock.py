"""The time in job ids: this machine's, or the database's if this machine's is wrong."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from ringback.contract.identity import created_at
from ringback.services.gateway.clock import MAX_OFFSET_S, Clock
from tests.support.eventually import eventually

NOW = 1_800_000_000.0
DAY = 86_400.0


class World:
    """Three clocks, and a database that takes time to respond."""

    def __init__(self, machine_s: float) -> None:
        self.machine_s = machine_s
        self.monotonic_s = 50.0
        self.database_s = NOW
        self.answer_takes_s = 0.01
        self.is_away = False
        self.asked = 0
        self.clock = Clock(wall=lambda: self.machine_s, monotonic=lambda: self.monotonic_s)

    def passes(self, seconds: float) -> None:
        self.machine_s += seconds
        self.monotonic_s += seconds
        self.database_s += seconds

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator["World", None]:
        yield self

    async def fetchval(self, _statement: str) -> float:
        self.asked += 1
        if self.is_away:
            raise ConnectionRefusedError
        self.passes(self.answer_takes_s / 2)
        answer = self.database_s
        self.passes(self.answer_takes_s / 2)
        return answer

    @property
    def made_at(self) -> float:
        return created_at(self.clock.new_job_id()).timestamp()


@pytest.mark.parametrize("days", [-3, 9, 20_000, -19_000])
async def test_a_wrong_clock_is_corrected(days: int) -> None:
    """In both directions, and as time passes."""
    world = World(NOW + days * DAY)

    await world.clock.compare(world)  # type: ignore[arg-type]
    world.passes(100)

    assert world.made_at == pytest.approx(world.database_s, abs=0.1)
    assert world.clock.offset_s == pytest.approx(days * DAY, abs=0.1)


async def test_a_correct_clock_is_used() -> None:
    """It is more precise than a time read over the network."""
    world = World(NOW + MAX_OFFSET_S - 1)

    await world.clock.compare(world)  # type: ignore[arg-type]

    # The id has the real time, not that of one of the fake clocks.
    assert abs(world.made_at - world.machine_s) > DAY


async def test_a_clock_fixed_during_an_outage_is_used() -> None:
    """What is stored is the database's time, not the difference."""
    world = World(NOW + 9 * DAY)
    await world.clock.compare(world)  # type: ignore[arg-type]
    world.is_away = True
    world.passes(DAY)

    world.machine_s = world.database_s

    assert world.clock.offset_s == pytest.approx(0, abs=0.1)


async def test_a_slow_response_is_ignored() -> None:
    """It is imprecise."""
    world = World(NOW)
    world.answer_takes_s = 60

    await world.clock.compare(world)  # type: ignore[arg-type]

    assert world.clock.offset_s == 0


async def test_an_unavailable_database_delays_nothing() -> None:
    """The first attempt ends with its error; ids use this machine's clock."""
    world = World(NOW)
    world.is_away = True

    async with world.clock.comparing(world):  # type: ignore[arg-type]
        await world.clock.first_comparison(within_s=60)

        assert world.asked == 1
        assert world.clock.offset_s == 0
        assert world.clock.new_job_id().version == 7


async def test_it_compares_while_entered() -> None:
    """The first time at once."""
    world = World(NOW + DAY)

    async with world.clock.comparing(world):  # type: ignore[arg-type]
        await eventually(lambda: world.clock.offset_s > DAY - 1)
