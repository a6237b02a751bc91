"""One fault under a load of its own, from the first webhook to the verdict."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from chaos import database_log
from chaos.fault import Fault
from chaos.load.ledger import Offered
from chaos.load.process import RunningLoad, running_load
from chaos.promises import broken_promises
from chaos.stage import Stage
from chaos.verdict import Verdict, judge

_AFTER_S = 2.0
_FINISHED_WITHIN_S = 90.0
_POLL_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one fault came to. `broken` has a sentence for each promise that was not kept."""

    fault: Fault
    verdict: Verdict
    broken: tuple[str, ...]
    took_s: float


async def play(stage: Stage, fault: Fault, *, per_s: float) -> Outcome:
    """Put the fault while webhooks come, take it away, wait for all to finish, and judge."""
    began = time.monotonic()
    stage.complaints.clear()
    ledger = stage.folder / f"{fault.name}.jsonl"
    async with running_load(stage.url, ledger, fault.mix, per_s=per_s) as load:
        await load.steady()
        async with fault.strike(stage):
            await asyncio.sleep(fault.hold_s)
        ended_at = time.time()
        await stage.ready()
        await asyncio.sleep(_AFTER_S)
    verdict = await _verdict(stage, load, ended_at)
    broken = [*broken_promises(fault, verdict), *stage.complaints]
    return Outcome(
        fault=fault, verdict=verdict, broken=tuple(broken), took_s=time.monotonic() - began
    )


async def _verdict(stage: Stage, load: RunningLoad, fault_ended_at: float) -> Verdict:
    offers = load.offers()
    async with stage.connection() as connection:
        await _until_finished(connection, offers)
        return judge(
            offers,
            await database_log.logged(connection, offers),
            await database_log.effects(connection, offers),
            fault_ended_at=fault_ended_at,
        )


async def _until_finished(connection: asyncpg.Connection, offers: list[Offered]) -> None:
    """Wait for as long as it may take; what is not finished by then counts as lost."""
    deadline = time.monotonic() + _FINISHED_WITHIN_S
    while await database_log.unfinished(connection, offers):
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_S)
