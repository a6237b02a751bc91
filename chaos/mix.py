"""A mix of faults at random times: the same seed gives the same plan."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chaos.fault import Fault, Part
from chaos.load.webhook import Mix
from chaos.stage import Stage

_MAX_PAUSE_S = 6.0
_SETTLES_S = 12.0
"""How long a part rests after its fault: a killed node needs that to recover."""


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault: its start in seconds after the beginning, and its duration."""

    fault: Fault
    at_s: float
    hold_s: float


def plan(faults: Sequence[Fault], *, seed: int, seconds: float) -> list[PlannedFault]:
    """Spread faults over the time: at most two parts at once, and no part twice at once."""
    # ruff: ignore[suspicious-non-cryptographic-random-usage]  # a plan to be repeated is no secret
    chance = random.Random(seed)
    mixed = [fault for fault in faults if fault.is_mixed]
    busy_until: dict[Part, float] = {}
    planned: list[PlannedFault] = []
    now = 0.0
    while True:
        now += chance.uniform(0.5, _MAX_PAUSE_S)
        if now >= seconds:
            return planned
        free = [fault for fault in mixed if busy_until.get(fault.part, 0.0) <= now]
        # Two are running: the next one waits.
        if sum(until - _SETTLES_S > now for until in busy_until.values()) > 1 or not free:
            continue
        fault = chance.choice(free)
        hold_s = min(fault.hold_s, max(0.0, seconds - now))
        planned.append(PlannedFault(fault, now, hold_s))
        busy_until[fault.part] = now + hold_s + _SETTLES_S


def mixed(faults: Sequence[Fault], *, seed: int, seconds: float) -> Fault:
    """Give a fault that runs the faults of a plan; it may cost what any of them may."""
    planned = plan(faults, seed=seed, seconds=seconds)
    struck = [one.fault for one in planned]

    @asynccontextmanager
    async def strike_all(stage: Stage) -> AsyncGenerator[None, None]:
        async with asyncio.TaskGroup() as group:
            for one in planned:
                group.create_task(_strike(stage, one))
        yield

    return Fault(
        name="mix",
        sentence=f"{len(planned)} faults in {seconds:g} s, by seed {seed}.",
        part=Part.CLIENTS,
        strike=strike_all,
        may_refuse=any(fault.may_refuse for fault in struck),
        may_not_answer=any(fault.may_not_answer for fault in struck),
        may_dead_letter=any(fault.may_dead_letter for fault in struck),
        may_use_attempts=any(fault.may_use_attempts for fault in struck),
        mix=Mix(failing_in_ten=2),
        is_mixed=False,
    )


async def _strike(stage: Stage, planned: PlannedFault) -> None:
    await asyncio.sleep(planned.at_s)
    async with planned.fault.strike(stage):
        await asyncio.sleep(planned.hold_s)
