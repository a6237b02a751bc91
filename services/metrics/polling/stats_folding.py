"""Moves the counts that statements recorded into the buckets that statistics are read from."""

import asyncio

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load

_MAX = 10_000
"""Deltas in one transaction."""

_PRUNE_EVERY_S = 3600.0

log = structlog.get_logger()


async def fold_stats(pool: asyncpg.Pool, *, interval_s: float = 1.0) -> None:
    """Fold every `interval_s` until cancelled; once an hour also delete expired data.

    Of several services one folds at a time. Answers are exact even without folding, but more
    unfolded deltas make reading slower. An unavailable database is tried again.
    """
    clock = asyncio.get_running_loop().time
    prune_at = clock()
    is_unavailable = False
    while True:
        try:
            await fold_all(pool)
            await pool.execute(load("services.metrics.polling", "fold_ledger.sql"))
            if clock() >= prune_at:
                prune_at = clock() + _PRUNE_EVERY_S
                await pool.execute(load("services.metrics.polling", "prune_statistics.sql"))
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            if not is_unavailable:
                log.warning(LogEvent.STATS_FOLDING_FAILED, reason=type(exc).__name__)
            is_unavailable = True
        else:
            is_unavailable = False
        await asyncio.sleep(interval_s)


async def fold_all(pool: asyncpg.Pool) -> None:
    """Fold in batches until none is left, or another service is folding."""
    statement = load("services.metrics.polling", "fold_statistics.sql")
    while await pool.fetchval(statement, _MAX) >= _MAX:
        pass
