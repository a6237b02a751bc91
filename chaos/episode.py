"""One fault under its own load, from the first webhook to the verdict."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from chaos import delivery_log
from chaos.fault import Fault, broken_promises
from chaos.load.ledger import Offered
from chaos.load.process import running_load
from chaos.stage import Stage
from chaos.verdict import Verdict

_AFTER_S = 2.0
_FINISHED_WITHIN_S = 300.0
_POLL_S = 0.3
_POLL_OF_ONE_S = 0.0003


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one fault. `broken` has a sentence for each broken promise."""

    fault: Fault
    verdict: Verdict
    broken: tuple[str, ...]
    took_s: float
    offers: Sequence[Offered]
    began_at: float
    """When the fault started, in seconds since 1970."""
    ended_at: float


async def play(
    stage: Stage, fault: Fault, *, per_s: float, until_recovered: bool = False
) -> Outcome:
    """Start the fault under load, end it, wait for all webhooks to finish, and judge.

    With `until_recovered` the load lasts until all that was accepted before is finished.
    """
    began = time.monotonic()
    stage.complaints.clear()
    ledger = stage.folder / f"{fault.name}.jsonl"
    async with running_load(stage.url, ledger, fault.mix, per_s=per_s) as load:
        await load.steady()
        began_at = time.time()
        async with fault.strike(stage):
            await asyncio.sleep(fault.hold_s)
        ended_at = time.time()
        await stage.ready()
        await asyncio.sleep(_AFTER_S)
        if until_recovered:
            await _until_finished(stage, load.offers())
    offers = load.offers()
    await _until_finished(stage, offers)
    async with stage.connection() as connection:
        verdict = await delivery_log.judged(connection, offers, began_at, ended_at)
    broken = [*broken_promises(fault, verdict), *stage.complaints]
    return Outcome(
        fault=fault,
        verdict=verdict,
        broken=tuple(broken),
        took_s=time.monotonic() - began,
        offers=offers,
        began_at=began_at,
        ended_at=ended_at,
    )


async def _until_finished(stage: Stage, offers: Sequence[Offered]) -> None:
    """Wait for as long as is allowed; what is not finished by then counts as lost."""
    deadline = time.monotonic() + _FINISHED_WITHIN_S
    left = delivery_log.accepted_ids(offers)
    async with stage.connection() as connection:
        while left and time.monotonic() < deadline:
            # A query for many ids keeps the database busy, and others wait.
            await asyncio.sleep(max(_POLL_S, len(left) * _POLL_OF_ONE_S))
            left = await delivery_log.unfinished(connection, left)
