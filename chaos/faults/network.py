"""Links to the broker and to the database that are cut, reset, slow, or silent on one side."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from chaos import extra_webhooks
from chaos.fault import Fault, Part, Strike, between
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

_Proxy: TypeAlias = Callable[[Stage], FaultProxy]


def _cut(proxy: _Proxy) -> Strike:
    return between(lambda stage: proxy(stage).refuse(), lambda stage: proxy(stage).accept())


def _reset(proxy: _Proxy) -> Strike:
    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        async def repeatedly() -> None:
            while True:
                proxy(stage).reset()
                await asyncio.sleep(_RESET_EVERY_S)

        resetting = asyncio.create_task(repeatedly())
        try:
            yield
        finally:
            resetting.cancel()
            await asyncio.wait([resetting])

    return strike


def _slow(proxy: _Proxy) -> Strike:
    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        proxy(stage).latency_s = _LATENCY_S
        try:
            yield
        finally:
            proxy(stage).latency_s = 0.0

    return strike


def _half_open(proxy: _Proxy, server_notices_after_s: float) -> Strike:
    """The services' connections are silent for good: they must notice that themselves."""

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        began = time.monotonic()
        proxy(stage).strand()
        [*job_ids] = await extra_webhooks.send(
            stage, [special(f"mute-{time.time_ns()}", Kind.WRITTEN)]
        )
        ends = await extra_webhooks.ended(stage, job_ids, within_s=_RESTORED_WITHIN_S)
        if len(ends) < len(job_ids):
            stage.complaints.append(
                f"A webhook sent later was not finished within {_RESTORED_WITHIN_S:.0f} s."
            )
        await asyncio.sleep(max(0.0, began + server_notices_after_s - time.monotonic()))
        proxy(stage).lose_stranded()
        yield

    return strike


def _faults(
    node: str, name: str, part: Part, proxy: _Proxy, server_notices_after_s: float
) -> tuple[Fault, ...]:
    return (
        Fault(
            name=f"{node}-link-cut",
            sentence=f"Connections to {name} are cut, and none can be opened for 10 s.",
            part=part,
            strike=_cut(proxy),
            hold_s=_HOLD_S,
            resumes_within_s=_RESUMES_WITHIN_S,
        ),
        Fault(
            name=f"{node}-link-reset",
            sentence=f"Connections to {name} are reset twice a second for 10 s.",
            part=part,
            strike=_reset(proxy),
            hold_s=_HOLD_S,
        ),
        Fault(
            name=f"{node}-link-slow",
            sentence=f"A round trip to {name} takes 200 ms longer for 10 s.",
            part=part,
            strike=_slow(proxy),
            hold_s=_HOLD_S,
        ),
        Fault(
            name=f"{node}-link-half-open",
            sentence=f"The connections to {name} stay open and pass nothing, for good.",
            part=part,
            strike=_half_open(proxy, server_notices_after_s),
            is_mixed=False,
        ),
    )


FAULTS = (
    *_faults("broker", "RabbitMQ", Part.BROKER, lambda stage: stage.broker_link, _HEARTBEAT_S),
    *_faults(
        "database", "PostgreSQL", Part.DATABASE, lambda stage: stage.database_link, _KEEPALIVE_S
    ),
)
