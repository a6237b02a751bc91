"""Processors die again and again while ordered webhooks take their turns."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from chaos import extra_webhooks
from chaos.fault import Fault, Part
from chaos.load.webhook import Kind, special
from chaos.stage import OTHER_ORG, Stage
from chaos.supervised import replicas
from ringback.runtime.postgres.queries import load

_CALLS = 4
_EVENTS = 20
_FIRST_TAKES_S = 8.0
_TAKES_S = 0.15
_FAILING_EVERY = 4
_KILLS = 8
_KILLED_EVERY_S = 1.5
_PARKED_WITHIN_S = 60.0
_ENDS_WITHIN_S = 120.0
_POLL_S = 0.1


@asynccontextmanager
async def _killed_in_turn(stage: Stage) -> AsyncGenerator[None, None]:
    """The first webhook of each call runs until the others have arrived."""
    calls = [f"ordered-{time.time_ns()}-{number}" for number in range(_CALLS)]
    async with replicas("processor", 1, stage.around) as (second,):
        sent = await _send(stage, calls)
        await _all_parked(stage, calls)
        processors = (stage.processor, second.service)
        for number in range(_KILLS):
            await processors[number % 2].kill()
            await asyncio.sleep(_KILLED_EVERY_S)
        job_ids = [job_id for of_call in sent.values() for job_id in of_call]
        await extra_webhooks.all_complete(stage, job_ids, within_s=_ENDS_WITHIN_S)
        await _check_order(stage, sent)
    yield


async def _send(stage: Stage, calls: Sequence[str]) -> Mapping[str, list[str]]:
    """Send the events of all calls, one after the other, and give the job ids of each call.

    Their org sends nothing else: if it changed to the bulk queue, a webhook whose row is not yet
    written could be passed.
    """
    sent: dict[str, list[str]] = {call: [] for call in calls}
    for number in range(_EVENTS):
        for call in calls:
            takes_s = _TAKES_S if number else _FIRST_TAKES_S
            attempts = 2 if number % _FAILING_EVERY == _FAILING_EVERY - 1 else 1
            body = special(
                call, Kind.ORDERED, number=number, takesSeconds=takes_s, failUntilAttempt=attempts
            )
            sent[call] += await extra_webhooks.send(stage, [body], endpoint=OTHER_ORG)
    return sent


async def _all_parked(stage: Stage, calls: Sequence[str]) -> None:
    wanted = len(calls) * (_EVENTS - 1)
    deadline = time.monotonic() + _PARKED_WITHIN_S
    async with stage.connection() as connection:
        while (parked := await connection.fetchval(load("chaos", "parked.sql"), calls)) < wanted:
            if time.monotonic() > deadline:
                stage.complaints.append(f"{parked} ordered webhooks are parked, not {wanted}.")
                return
            await asyncio.sleep(_POLL_S)


async def _check_order(stage: Stage, sent: Mapping[str, list[str]]) -> None:
    """Each webhook has one effect, and those of a call have the order in which they were sent."""
    async with stage.connection() as connection:
        rows = await connection.fetch(load("chaos", "order_of_effects.sql"), list(sent))
    found: Mapping[str, list[str]] = {row["event"]: row["job_ids"] for row in rows}
    for call, job_ids in sent.items():
        if found.get(call) != job_ids:
            stage.complaints.append(
                f"The effects of {call} are of {found.get(call)}; sent were {job_ids}."
            )


FAULTS = (
    Fault(
        name="ordered-keys-under-kills",
        sentence="Ordered webhooks of four calls run while two processors are killed in turn.",
        part=Part.PROCESSOR,
        strike=_killed_in_turn,
        is_mixed=False,
    ),
)
