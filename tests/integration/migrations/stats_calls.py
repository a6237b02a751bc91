"""Direct queries of the statistics and the log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

#: The id for the sum of all organisations.
ALL = UUID(int=2**128 - 1)

_RECOUNT = """
    SELECT event_type,
           count(*) FILTER (WHERE status = 'completed') AS completed,
           count(*) FILTER (WHERE status = 'failed') AS failed,
           count(*) FILTER (WHERE status = 'dead_letter') AS dead_letter,
           count(*) FILTER (WHERE status IN ('pending', 'processing')) AS pending,
           count(*) FILTER (WHERE status = 'duplicate') AS duplicates,
           coalesce(sum(attempts)
               FILTER (WHERE status IN ('completed', 'failed', 'dead_letter')), 0) AS attempts
    FROM webhook_delivery_log
    WHERE (org_id = $1 OR $1 = 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND created_at >= $2 AND created_at < $3
    GROUP BY event_type
"""


@dataclass(frozen=True, slots=True)
class Counts:
    completed: int = 0
    failed: int = 0
    dead_letter: int = 0
    pending: int = 0
    duplicates: int = 0
    attempts: int = 0


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _by_type(rows: list[asyncpg.Record]) -> dict[str, Counts]:
    return {row["event_type"]: Counts(*tuple(row)[1:]) for row in rows}


async def counts_of(
    connection: asyncpg.Connection, org_id: UUID, start: datetime, end: datetime
) -> dict[str, Counts]:
    """The statistics of the webhooks created in a range, by event type."""
    return _by_type(
        await connection.fetch("SELECT * FROM webhook_stats_of($1, $2, $3)", org_id, start, end)
    )


async def recounted(
    connection: asyncpg.Connection, org_id: UUID, start: datetime, end: datetime
) -> dict[str, Counts]:
    """The same numbers, counted in the log."""
    return _by_type(await connection.fetch(_RECOUNT, org_id, start, end))


async def fold(connection: asyncpg.Connection, most: int = 10_000) -> int:
    moved: int = await connection.fetchval("SELECT fold_webhook_stats($1)", most)
    return moved


async def deltas(connection: asyncpg.Connection) -> int:
    """How many delta rows wait."""
    count: int = await connection.fetchval("SELECT count(*) FROM webhook_stats_deltas")
    return count


async def buckets(connection: asyncpg.Connection, org_id: UUID = ALL) -> set[tuple[str, datetime]]:
    """Grain and beginning of each bucket of an organisation."""
    rows = await connection.fetch(
        "SELECT grain, bucket FROM webhook_stats WHERE org_id = $1", org_id
    )
    return {(row["grain"], row["bucket"].astimezone(UTC)) for row in rows}
