"""Creates partitions of the log ahead of time and drops old ones. Only for the processor's role."""

from typing import Protocol

from ringback.runtime.postgres.queries import load

_PACKAGE = "ringback.runtime.postgres"
_CLEANUP_TIMEOUT_S = 3600.0


class Executes(Protocol):
    """A connection or a pool. Its errors are passed on."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...  # ruff: ignore[async-function-with-timeout]  # as asyncpg has it


async def create_partitions(database: Executes) -> None:
    """Create missing partitions for the next days."""
    await database.execute(load(_PACKAGE, "ensure_partitions.sql"))


async def clean_up(database: Executes, retention_days: int) -> None:
    """Drop and delete finished webhooks older than this, for up to an hour.

    Parallel runs are safe.
    """
    await database.execute(
        load(_PACKAGE, "cleanup.sql"), retention_days, timeout=_CLEANUP_TIMEOUT_S
    )
