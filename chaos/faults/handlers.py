"""Handlers that hang, that misuse their connection, and one that blocks the event loop."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chaos import extra_webhooks
from chaos.fault import Fault, Part
from chaos.handlers import MISUSES
from chaos.load.webhook import Kind, special
from chaos.stage import OTHER_ORG, Stage

_HUNG = 5
_TIMES = 3
_ENDS_WITHIN_S = 180.0
_BLOCKS_S = 8.0
_NOTICED_WITHIN_S = 15.0
_FAILURES = 3
_POLL_S = 0.3
_FLOOD = 300
_HANGING = 18
_OTHERS = 5
_OTHERS_WITHIN_S = 20.0
"""A third of the time for which the handlers of the flooding org hang, three at once."""


@asynccontextmanager
async def _all_hang(stage: Stage) -> AsyncGenerator[None, None]:
    """Every handler slot hangs at once; each attempt is cancelled at its timeout."""
    event = f"hung-{time.time_ns()}"
    kinds = (Kind.WRITTEN, Kind.PLAIN)
    bodies = [
        special(f"{event}-{number}", kinds[number % 2], hangsUntilAttempt=2)
        for number in range(_HUNG)
    ]
    await extra_webhooks.all_complete(
        stage, await extra_webhooks.send(stage, bodies), within_s=_ENDS_WITHIN_S
    )
    yield


@asynccontextmanager
async def _blocked(stage: Stage) -> AsyncGenerator[None, None]:
    """A supervisor that probes liveness, as that of a cluster does, restarts the processor."""
    until = time.time() + _BLOCKS_S
    body = special(f"blocks-{time.time_ns()}", Kind.WRITTEN, blocksUntil=until)
    job_ids = await extra_webhooks.send(stage, [body])
    if await _liveness_fails(stage):
        await stage.processor.kill()
    else:
        stage.complaints.append(
            "The processor reported itself alive while its event loop was blocked."
        )
    await extra_webhooks.all_complete(stage, job_ids, within_s=_ENDS_WITHIN_S)
    yield


@asynccontextmanager
async def _misused(stage: Stage) -> AsyncGenerator[None, None]:
    """Each misuse happens several times under load, and each second attempt is a good one."""
    event = f"misuses-{time.time_ns()}"
    bodies = [
        special(
            f"{event}-{number}",
            Kind.WRITTEN,
            misuse=number % MISUSES,
            misusesUntilAttempt=2,
        )
        for number in range(_TIMES * MISUSES)
    ]
    await extra_webhooks.all_complete(
        stage, await extra_webhooks.send(stage, bodies), within_s=_ENDS_WITHIN_S
    )
    yield


@asynccontextmanager
async def _one_org_floods(stage: Stage) -> AsyncGenerator[None, None]:
    """It sends more than its rate at once, and its handlers hang for a minute in all."""
    event = f"flood-{time.time_ns()}"
    hanging = [special(f"{event}-h{n}", Kind.PLAIN, hangsUntilAttempt=2) for n in range(_HANGING)]
    quick = [special(f"{event}-{n}", Kind.PLAIN) for n in range(_FLOOD)]
    job_ids = await extra_webhooks.send(
        stage, [*hanging, *quick], endpoint=OTHER_ORG, at_once=_HUNG
    )
    for number in range(_OTHERS):
        body = special(f"{event}-other-{number}", Kind.WRITTEN)
        others = await extra_webhooks.send(stage, [body])
        if len(await extra_webhooks.ended(stage, others, within_s=_OTHERS_WITHIN_S)) != 1:
            stage.complaints.append("A webhook of another org waited for the flooding one.")
    await extra_webhooks.all_complete(stage, job_ids, within_s=_ENDS_WITHIN_S)
    yield


async def _liveness_fails(stage: Stage) -> bool:
    deadline, failures = time.monotonic() + _NOTICED_WITHIN_S, 0
    while failures < _FAILURES and time.monotonic() < deadline:
        failures = 0 if await stage.processor.is_live() else failures + 1
        await asyncio.sleep(_POLL_S)
    return failures == _FAILURES


FAULTS = (
    Fault(
        name="handlers-hang",
        sentence="Five handlers, as many as run at once, hang until their attempt is cut off.",
        part=Part.PROCESSOR,
        strike=_all_hang,
        is_mixed=False,
    ),
    Fault(
        name="one-org-floods",
        sentence="An org sends 300 webhooks at once, and 18 of its handlers hang.",
        part=Part.PROCESSOR,
        strike=_one_org_floods,
        is_mixed=False,
    ),
    Fault(
        name="handlers-misuse-connections",
        sentence="Handlers end their transaction, close or damage its connection, or exit.",
        part=Part.PROCESSOR,
        strike=_misused,
        is_mixed=False,
    ),
    Fault(
        name="handler-blocks",
        sentence="A handler blocks the event loop; the failed liveness probe restarts it.",
        part=Part.PROCESSOR,
        strike=_blocked,
        is_mixed=False,
    ),
)
