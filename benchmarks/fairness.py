"""What ten calm orgs notice of one that sends many times as much, and whose handler hangs.

For comparison, the same webhooks also come from many calm orgs, whose handlers return: what this
costs the first ten is the CPU time of the machine, whoever sends.
"""

import asyncio
import json
from collections import ChainMap
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from benchmarks import load
from benchmarks.figures import Ledger, compare, latencies_ms
from benchmarks.load import HANGING
from benchmarks.systems import Ringback
from ringback.cli.load.load_generator import percentile
from ringback.contract.topology import ATTEMPT_QUEUES

CALM_ORGS = 10
PER_ORG_PER_S = 2.0
SLOTS = 5
_WARM_UP_S = 4.0
_FINISHED_WITHIN_S = 30.0
_ATTEMPT_TIMEOUT_S = 5.0
_POLL_S = 0.2
_FLOODING_ORG = UUID(int=1_000)
_FIRST_ORGS = {"calm": 1, "other": 10_000}
_SLOT_SECONDS = """
    SELECT coalesce(sum(extract(epoch FROM
        least(attempt.ended_at, $3::timestamptz) - greatest(attempt.started_at, $2::timestamptz)
    )), 0)::float8
    FROM webhook_delivery_attempts AS attempt
    JOIN webhook_delivery_log AS log ON log.id = attempt.delivery_id
    WHERE log.org_id = $1 AND attempt.ended_at > $2 AND attempt.started_at < $3
"""


async def measure(
    system: Ringback, times: int, size: str, seconds: float
) -> tuple[dict[str, float], Ledger]:
    """Measure ten calm orgs alone, beside `times` others, and beside the flood.

    All in the same processes.
    """
    async with _running(system, times) as url:

        async def posted(orgs: Iterable[str], per_s: float, for_s: float) -> dict[str, float]:
            return await load.posted(
                *(system.stack.folder, ",".join(f"{url}/{org}" for org in orgs), size),
                *(f"--per-s={per_s}", f"--seconds={for_s}"),
            )

        async def calm(for_s: float, *others: str) -> dict[str, float]:
            posts = [posted(_orgs("calm", CALM_ORGS), CALM_ORGS * PER_ORG_PER_S, for_s)]
            if others:
                posts.append(posted(others, times * PER_ORG_PER_S, for_s))
            due, *_ = sent = await asyncio.gather(*posts)
            await _finished(system, due if HANGING in others else dict(ChainMap(*sent)))
            return due

        await calm(_WARM_UP_S)
        alone = await calm(seconds)
        busy = await calm(seconds, *_orgs("other", times))
        begun = datetime.now(UTC)
        flood = await calm(seconds, HANGING)
        ended = begun + timedelta(seconds=seconds)
        # The attempts that ran at the end of the flood are recorded when they have timed out.
        await asyncio.sleep(_ATTEMPT_TIMEOUT_S + 1)
    [row] = await system.stack.sql(_SLOT_SECONDS, _FLOODING_ORG, begun, ended)
    found = await system.finished()
    figures = {"parked": float(_lines_about_calm_orgs(system))}
    figures["share"] = 100 * row[0] / (SLOTS * seconds)
    for name, due in (("calm", alone), ("busy", busy), ("flood", flood)):
        times_ms = latencies_ms(due, found.at)
        for percent in (50, 99):
            figures[f"{name}_p{percent}_ms"] = percentile(times_ms, percent) or 0.0
    for queue in (*ATTEMPT_QUEUES, "webhooks.retry.1.2s", "webhooks.retry.2.4s"):
        await system.stack.purge(queue)
    return figures, compare([*alone, *busy, *flood], found.attempts)


@asynccontextmanager
async def _running(system: Ringback, others: int) -> AsyncGenerator[str]:
    orgs = _orgs("calm", CALM_ORGS) | _orgs("other", others) | {HANGING: _FLOODING_ORG}
    endpoints = {name: {"org_id": str(org)} for name, org in orgs.items()}
    gateway = {
        "RINGBACK_ORG_RATE_PER_S": "50",
        "RINGBACK_ENDPOINTS": json.dumps(endpoints),
        "RINGBACK_ALLOW_UNAUTHENTICATED": "true",
    }
    processor = {
        "RINGBACK_HANDLERS": "benchmarks.peers.ringback.handlers",
        "RINGBACK_ATTEMPT_TIMEOUT_S": str(_ATTEMPT_TIMEOUT_S),
        "RINGBACK_DRAIN_TIMEOUT_S": "1",
    }
    async with system.service("gateway", gateway) as ports, system.service("processor", processor):
        yield f"http://127.0.0.1:{ports.gateway}/api/webhooks/vapi"


def _orgs(name: str, count: int) -> dict[str, UUID]:
    first = _FIRST_ORGS[name]
    return {f"{name}-{number}": UUID(int=first + number) for number in range(count)}


async def _finished(system: Ringback, due: dict[str, float]) -> None:
    """Wait until these webhooks have finished, for a while."""
    async with asyncio.timeout(_FINISHED_WITHIN_S):
        while True:
            if due.keys() <= (await system.finished()).at.keys():
                return
            await asyncio.sleep(_POLL_S)


def _lines_about_calm_orgs(system: Ringback) -> int:
    """How many log lines say that a calm org is above its rate, or one of its webhooks parked."""
    orgs = [str(org) for org in _orgs("calm", CALM_ORGS).values()]
    return sum(
        any(event in line for event in ("org.over_rate", "message.parked"))
        and any(org in line for org in orgs)
        for file in (system.stack.folder / "ringback" / "logs").glob("*.log")
        for line in file.read_text(encoding="utf-8").splitlines()
    )
