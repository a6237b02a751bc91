"""Fills the delivery log with webhooks of the last 30 days, to see how the API reads a large one.

The database must be migrated and contain nothing of value; the user must be a superuser.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ringback.runtime.postgres.queries import load

BIG_ORG = UUID("00000000-0000-4000-8000-000000000001")
"""The organisation that has half of the webhooks."""

DAYS = 30
_AT_ONCE = 2
_STATEMENT_TIMEOUT_S = 3600.0
_AFTERWARDS = (
    "VACUUM ANALYZE",
    "SELECT rebuild_webhook_stats()",
    "VACUUM ANALYZE webhook_stats",
    # Otherwise the disk would still be busy with the filling during the timed reads.
    "CHECKPOINT",
)


@dataclass(frozen=True, slots=True)
class Slice:
    """So many webhooks, spread over a time."""

    start: datetime
    end: datetime
    rows: int


def slices_of(rows: int, now: datetime) -> list[Slice]:
    """The last 30 days in pieces of six hours, each with its share of the rows."""
    count = DAYS * 4
    step = timedelta(days=DAYS) / count
    first = now - timedelta(days=DAYS)
    shares = [rows * (n + 1) // count - rows * n // count for n in range(count)]
    return [
        Slice(first + n * step, first + (n + 1) * step, share)
        for n, share in enumerate(shares)
        if share
    ]


async def fill(database_url: str, rows: int, filled: Callable[[int], None]) -> None:
    """Fill with the triggers off, then count it all at once; call `filled` after each share."""
    async with asyncpg.create_pool(
        database_url,
        min_size=_AT_ONCE,
        max_size=_AT_ONCE,
        command_timeout=_STATEMENT_TIMEOUT_S,
        server_settings={
            "session_replication_role": "replica",
            "synchronous_commit": "off",
            "timezone": "UTC",
        },
    ) as pool:
        await pool.execute("SELECT ensure_webhook_partitions(current_date - $1::integer)", DAYS + 1)
        waiting = asyncio.Queue[Slice]()
        for piece in slices_of(rows, datetime.now(UTC)):
            waiting.put_nowait(piece)

        async def work() -> None:
            while not waiting.empty():
                piece = waiting.get_nowait()
                await pool.execute(
                    load("benchmarks", "fill_day.sql"), piece.start, piece.end, piece.rows
                )
                filled(piece.rows)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
        for statement in _AFTERWARDS:
            await pool.execute(statement)


async def fill_visibly(database_url: str, rows: int, console: Console) -> None:
    """Fill it, and show the progress."""
    begun = time.monotonic()
    columns = (TextColumn("filling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("filling", total=rows)
        await fill(database_url, rows, lambda more: progress.advance(task, more))
    seconds = time.monotonic() - begun
    console.print(f"{rows:,} webhooks filled in and counted in {seconds:,.0f} s", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill_log", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="default 10,000,000")
    options = parser.parse_args()
    url = os.environ.get("RINGBACK_DATABASE_URL")
    if not url or options.rows < 1:
        raise SystemExit("Set RINGBACK_DATABASE_URL, and --rows to at least 1.")
    try:
        asyncio.run(fill_visibly(url, options.rows, Console()))
    except (OSError, asyncpg.PostgresError) as exc:
        raise SystemExit(f"The log cannot be filled: {exc}") from None


if __name__ == "__main__":
    main()
