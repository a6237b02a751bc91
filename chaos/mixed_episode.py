"""The mix as one fault that runs a plan."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from chaos.fault import Fault, Part
from chaos.load.webhook import Mix
from chaos.mix import Strike, plan
from chaos.stage import Stage


def mixed(faults: Sequence[Fault], *, seed: int, seconds: float) -> Fault:
    """Give a fault that runs the faults of a plan; it may cost what any of them may."""
    strikes = plan(faults, seed=seed, seconds=seconds)
    struck = [strike.fault for strike in strikes]

    @asynccontextmanager
    async def strike_all(stage: Stage) -> AsyncGenerator[None, None]:
        async with asyncio.TaskGroup() as group:
            for strike in strikes:
                group.create_task(_strike(stage, strike))
        yield

    return Fault(
        name="mix",
        sentence=f"{len(strikes)} faults in {seconds:g} s, by seed {seed}.",
        part=Part.CLIENTS,
        strike=strike_all,
        may_refuse=any(fault.may_refuse for fault in struck),
        may_not_answer=any(fault.may_not_answer for fault in struck),
        may_bury=any(fault.may_bury for fault in struck),
        may_burn=any(fault.may_burn for fault in struck),
        mix=Mix(failing_in_ten=2),
        is_mixed=False,
    )


async def _strike(stage: Stage, strike: Strike) -> None:
    await asyncio.sleep(strike.at_s)
    async with strike.fault.strike(stage):
        await asyncio.sleep(strike.hold_s)
