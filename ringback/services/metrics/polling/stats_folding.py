"""Folds statistics: adds up deltas, which statements insert, in buckets per minute and hour."""

import asyncio

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import reason_of

_MAX_DELTAS = 10_000
"""Per transaction."""

_PRUNE_EVERY_S = 3600.0

log = structlog.get_logger()


async def fold_stats(pool: asyncpg.Pool, *, interval_s: float = 1.0) -> None:
    """Fold every `interval_s` until cancelled; once an hour also delete expired data.

    If several services run, only one folds at a time. Statistics are exact even without folding,
    but reading many unfolded deltas is slow. While the database is unavailable, it tries again.
    """
    clock = asyncio.get_running_loop().time
    prune_at = clock()
    is_unavailable = False
    while True:
        try:
            await fold_all(pool)
            await pool.execute(load("ringback.services.metrics.polling", "fold_ledger.sql"))
            if clock() >= prune_at:
                prune_at = clock() + _PRUNE_EVERY_S
                await pool.execute(
                    load("ringback.services.metrics.polling", "prune_statistics.sql")
                )
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            if not is_unavailable:
                log.warning(LogEvent.STATS_FOLDING_FAILED, reason=reason_of(exc))
            is_unavailable = True
        else:
            is_unavailable = False
        await asyncio.sleep(interval_s)


async def fold_all(pool: asyncpg.Pool) -> None:
    """Fold in batches until no delta is left, or another service is folding."""
    statement = load("ringback.services.metrics.polling", "fold_statistics.sql")
    while await pool.fetchval(statement, _MAX_DELTAS) >= _MAX_DELTAS:
        pass
