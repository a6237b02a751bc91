"""Makes the days of the log ahead and drops those behind. Only the processor's role may."""

from typing import Protocol

from ringback.runtime.queries import load

_PACKAGE = "ringback.runtime"
_CLEANUP_TIMEOUT_S = 3600.0


class Executes(Protocol):
    """A connection or a pool; what it raises goes through."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...  # ruff: ignore[async-function-with-timeout]  # as asyncpg has it


async def make_days(database: Executes) -> None:
    """Make the days ahead that are missing."""
    await database.execute(load(_PACKAGE, "ensure_partitions.sql"))


async def clean_up(database: Executes, retention_days: int) -> None:
    """Drop and delete what is finished and older; for an hour at most. Two at once do no harm."""
    await database.execute(
        load(_PACKAGE, "cleanup.sql"), retention_days, timeout=_CLEANUP_TIMEOUT_S
    )
