"""The two long outages that the suite measures: a node that is stopped for a while."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from chaos.fault import Fault, Part
from chaos.load.webhook import Mix
from chaos.stage import Stage
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase

_RESUMES_WITHIN_S = 5.0

_Node: TypeAlias = Callable[[Stage], PrivateBroker | PrivateDatabase]


def outage(part: Part, seconds: float) -> Fault:
    """Give the outage of a node, which is one of `NODES`."""
    which = NODES[part]

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        await which(stage).stop()
        try:
            yield
        finally:
            await which(stage).start()

    return Fault(
        name=f"{part}-away",
        sentence=f"{part.capitalize()} stopped for {seconds:g} s.",
        part=part,
        strike=strike,
        hold_s=seconds,
        resumes_within_s=_RESUMES_WITHIN_S if part is Part.DATABASE else None,
        mix=Mix(failing_in_ten=1),
        is_mixed=False,
    )


NODES: dict[Part, _Node] = {
    Part.BROKER: lambda stage: stage.broker,
    Part.DATABASE: lambda stage: stage.database,
}
