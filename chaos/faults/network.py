"""Links to the broker and to the database that are cut, reset, slow, or silent on one side."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from chaos import specials
from chaos.fault import Fault, Part
from chaos.fault_proxy import FaultProxy
from chaos.load.webhook import Kind, special
from chaos.stage import Stage
from ringback.runtime.amqp.connection import HEARTBEAT_S

_HOLD_S = 10.0
_RESET_EVERY_S = 0.5
_LATENCY_S = 0.1
_RESTORED_WITHIN_S = 30.0
_RESUMES_WITHIN_S = 5.0
_HEARTBEAT_S = 2.0 * HEARTBEAT_S
"""When RabbitMQ drops a client that does not answer its heartbeats, at the latest."""
_KEEPALIVE_S = 25.0
"""When PostgreSQL's machine does, by our sessions' settings. A proxy would answer for it."""

Which = Callable[[Stage], FaultProxy]


def _broker(stage: Stage) -> FaultProxy:
    return stage.broker_link


def _database(stage: Stage) -> FaultProxy:
    return stage.database_link


def _cut(which: Which) -> Callable[[Stage], AsyncGenerator[None, None]]:
    # ruff: ignore[unused-async]  # as every strike
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        which(stage).refuse()
        try:
            yield
        finally:
            which(stage).accept()

    return strike


def _reset(which: Which) -> Callable[[Stage], AsyncGenerator[None, None]]:
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        async def again_and_again() -> None:
            while True:
                which(stage).reset()
                await asyncio.sleep(_RESET_EVERY_S)

        resetting = asyncio.create_task(again_and_again())
        try:
            yield
        finally:
            resetting.cancel()
            await asyncio.wait([resetting])

    return strike


def _slow(which: Which) -> Callable[[Stage], AsyncGenerator[None, None]]:
    # ruff: ignore[unused-async]  # as every strike
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        which(stage).latency_s = _LATENCY_S
        try:
            yield
        finally:
            which(stage).latency_s = 0.0

    return strike


def _half_open(
    which: Which, server_notices_after_s: float
) -> Callable[[Stage], AsyncGenerator[None, None]]:
    """The services' connections are silent for good: they must notice that themselves."""

    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        began = time.monotonic()
        which(stage).strand()
        [*job_ids] = await specials.send(stage, [special(f"mute-{time.time_ns()}", Kind.WRITTEN)])
        ends = await specials.ended(stage, job_ids, within_s=_RESTORED_WITHIN_S)
        if len(ends) < len(job_ids):
            stage.complaints.append(
                f"Nothing that came later was finished within {_RESTORED_WITHIN_S:.0f} s."
            )
        await asyncio.sleep(max(0.0, began + server_notices_after_s - time.monotonic()))
        which(stage).lose_stranded()
        yield

    return strike


def _faults(
    node: str, name: str, part: Part, which: Which, server_notices_after_s: float
) -> tuple[Fault, ...]:
    return (
        Fault(
            name=f"{node}-link-cut",
            sentence=f"Connections to {name} are cut, and none can be made for 10 s.",
            part=part,
            strike=asynccontextmanager(_cut(which)),
            hold_s=_HOLD_S,
            resumes_within_s=_RESUMES_WITHIN_S,
        ),
        Fault(
            name=f"{node}-link-reset",
            sentence=f"Connections to {name} are reset twice a second for 10 s.",
            part=part,
            strike=asynccontextmanager(_reset(which)),
            hold_s=_HOLD_S,
        ),
        Fault(
            name=f"{node}-link-slow",
            sentence=f"To {name} and back takes 200 ms longer for 10 s.",
            part=part,
            strike=asynccontextmanager(_slow(which)),
            hold_s=_HOLD_S,
        ),
        Fault(
            name=f"{node}-link-half-open",
            sentence=f"The connections to {name} stay open and pass nothing, for good.",
            part=part,
            strike=asynccontextmanager(_half_open(which, server_notices_after_s)),
            is_mixed=False,
        ),
    )


FAULTS = (
    *_faults("broker", "RabbitMQ", Part.BROKER, _broker, _HEARTBEAT_S),
    *_faults("database", "PostgreSQL", Part.DATABASE, _database, _KEEPALIVE_S),
)
