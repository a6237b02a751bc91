"""A service that handlers call hangs, or works and fails in turn."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chaos.fault import Fault, Part
from chaos.load.webhook import Mix
from chaos.shop import Mode
from chaos.stage import Stage

_HANGS_S = 20.0
_FLAPS = 6
_FLAP_S = 3.0
_FAILED_CALLS = 40
"""Five open the breaker, those in flight then fail too, and so does each probe."""


@asynccontextmanager
async def _hangs(stage: Stage) -> AsyncGenerator[None, None]:
    """Calls end at their deadline; the breaker opens, and the webhooks wait."""
    before = stage.shop.failed
    stage.shop.become(Mode.HANGS)
    try:
        yield
    finally:
        stage.shop.become(Mode.WORKS)
        _check_calls(stage, before, outages=1)


@asynccontextmanager
async def _flaps(stage: Stage) -> AsyncGenerator[None, None]:
    before = stage.shop.failed
    for _ in range(_FLAPS):
        stage.shop.become(Mode.FAILS)
        await asyncio.sleep(_FLAP_S)
        stage.shop.become(Mode.WORKS)
        await asyncio.sleep(_FLAP_S)
    _check_calls(stage, before, outages=_FLAPS)
    yield


def _check_calls(stage: Stage, before: int, *, outages: int) -> None:
    failed = stage.shop.failed - before
    if not failed:
        stage.complaints.append("No call failed, so the run proves nothing.")
    if failed > outages * _FAILED_CALLS:
        stage.complaints.append(f"The breaker let {failed} calls fail in {outages} outages.")


FAULTS = (
    Fault(
        name="destination-hangs",
        sentence="A service that each handler calls accepts requests and does not answer.",
        part=Part.PROCESSOR,
        strike=_hangs,
        hold_s=_HANGS_S,
        may_use_attempts=True,
        mix=Mix(is_calling=True),
        is_mixed=False,
    ),
    Fault(
        name="destination-flaps",
        sentence="A service that each handler calls fails for 3 s and works for 3 s, six times.",
        part=Part.PROCESSOR,
        strike=_flaps,
        may_use_attempts=True,
        mix=Mix(is_calling=True),
        is_mixed=False,
    ),
)
