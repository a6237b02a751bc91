"""The URL of a forward misbehaves, while another one of the same webhooks works."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from chaos import extra_webhooks
from chaos.fault import Fault, Part
from chaos.load.webhook import Kind, special
from chaos.receiver import ENDPOINT, ODD, STEADY
from chaos.stage import Stage
from ringback.runtime.postgres.queries import load

_WEBHOOKS = 60
_MISBEHAVES_S = 15.0
_SENT_WITHIN_S = 60.0
_POLL_S = 0.3


@asynccontextmanager
async def _misbehaves(stage: Stage) -> AsyncGenerator[None, None]:
    """It hangs, resets, answers a byte a second, redirects to 169.254.169.254, and is busy."""
    receiver, run = stage.receiver, time.time_ns()
    bodies = [special(f"forwarded-{run}-{number}", Kind.LIGHT) for number in range(_WEBHOOKS)]
    receiver.is_misbehaving = True
    try:
        job_ids = await extra_webhooks.send(stage, bodies, endpoint=ENDPOINT)
        await _until(lambda: len(receiver.taken[STEADY]) >= len(job_ids))
        if set(receiver.taken[STEADY]) != set(job_ids):
            stage.complaints.append("A forward waited for another one that misbehaves.")
        yield
    finally:
        receiver.is_misbehaving = False
    await _until(lambda: len(receiver.taken[ODD]) >= len(job_ids))
    if not receiver.misdeeds:
        stage.complaints.append("The receiver did not misbehave, so the run proves nothing.")
    for path in (STEADY, ODD):
        missing = set(job_ids) - set(receiver.taken[path])
        if missing:
            stage.complaints.append(f"{len(missing)} webhooks were never sent to {path}.")
        twice = sum(count > 1 for count in receiver.taken[path].values())
        if twice:
            stage.complaints.append(f"{twice} webhooks were taken twice by {path}.")
    sent = {body for one in receiver.bodies.values() for body in one}
    if receiver.forged or sent != set(bodies):
        stage.complaints.append(f"{receiver.forged} wrong signatures, or other bytes than sent.")
    await _all_completed(stage, len(job_ids))


async def _until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SENT_WITHIN_S
    while not is_true():
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_S)


async def _all_completed(stage: Stage, webhooks: int) -> None:
    """Each webhook has two forwards, and each of these is completed once."""
    deadline = time.monotonic() + _SENT_WITHIN_S
    expected = {"completed": 2 * webhooks}
    while True:
        async with stage.connection() as connection:
            rows = await connection.fetch(load("chaos", "forwards.sql"), ENDPOINT)
        ends = {row["status"]: row["webhooks"] for row in rows}
        if ends == expected or time.monotonic() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    if ends != expected:
        stage.complaints.append(f"The forwards ended as {ends}, not as {expected}.")


FAULTS = (
    Fault(
        name="forward-receiver-misbehaves",
        sentence="The URL of a forward hangs, resets, trickles, redirects inwards and is busy.",
        part=Part.CLIENTS,
        strike=_misbehaves,
        hold_s=_MISBEHAVES_S,
        is_mixed=False,
    ),
)
