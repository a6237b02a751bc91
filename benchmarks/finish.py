"""How many webhooks a second are finished: received, attempted, logged and committed."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from benchmarks.bench_stack import BenchStack
from ringback.local.ports import free_ports

_POLL_S = 0.2
_GIVE_UP_AFTER_S = 300.0
_FINISHED = """
    SELECT count(*) AS finished, extract(epoch FROM max(ended_at) - min(started_at)) AS seconds
    FROM webhook_delivery_attempts WHERE delivery_id >= $1
"""
_LEDGER = """
    SELECT count(*) FILTER (WHERE log.status = 'completed') AS completed,
           count(*) FILTER (WHERE made.attempts > 1) AS doubled
    FROM unnest($1::uuid[]) AS sent (id)
    LEFT JOIN webhook_delivery_log AS log ON log.id = sent.id
    LEFT JOIN LATERAL (SELECT count(*) AS attempts FROM webhook_delivery_attempts
                       WHERE delivery_id = sent.id) AS made ON true
"""


@dataclass(frozen=True, slots=True)
class Finished:
    name: str
    prefetch: int
    finished: int
    per_second: float
    lost: int
    doubled: int


async def measure_finishing(
    stack: BenchStack, name: str, sent: list[str], prefetch: int, report: Callable[[str], None]
) -> Finished:
    """Let a processor without handlers finish what waits, and compare the log with the ids sent."""
    (port,) = free_ports(1)
    connection = await asyncpg.connect(stack.database_url)
    processor = stack.process(
        "services.processor",
        RINGBACK_PROCESSOR_OBSERVABILITY_PORT=str(port),
        RINGBACK_PREFETCH=str(prefetch),
        RINGBACK_VOICE_CALLS="false",
    )
    async with processor:
        count, seconds = await until_finished(connection, sent)
    lost, doubled = await compare_with_log(connection, sent)
    await connection.close()
    report(f"{count:,} finished in {seconds:.1f} s")
    return Finished(
        name=name,
        prefetch=prefetch,
        finished=count,
        per_second=count / seconds if seconds else 0.0,
        lost=lost,
        doubled=doubled,
    )


async def until_finished(connection: asyncpg.Connection, ids: list[str]) -> tuple[int, float]:
    """Wait until all are finished, or for too long; give how many are, and their seconds."""
    deadline = time.monotonic() + _GIVE_UP_AFTER_S
    while True:
        [row] = await connection.fetch(_FINISHED, min(ids))
        if row["finished"] >= len(ids) or time.monotonic() > deadline:
            return row["finished"], float(row["seconds"] or 0.0)
        await asyncio.sleep(_POLL_S)


async def compare_with_log(connection: asyncpg.Connection, sent: list[str]) -> tuple[int, int]:
    """Count the webhooks that are not completed, and those attempted more than once."""
    [ledger] = await connection.fetch(_LEDGER, sent)
    return len(sent) - ledger["completed"], ledger["doubled"]
