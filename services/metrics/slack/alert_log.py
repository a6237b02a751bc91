import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.slack.alert_group import AlertGroup, GroupKey
from services.metrics.slack.message import Example

_PACKAGE = "services.metrics"
_MOST_FOLDED = 10_000
_MOST_PRUNED = 1_000
_READ_TIMEOUT_S = 5.0


class AlertLog:
    """The pending announcements, in the database.

    Every method raises one of DATABASE_UNAVAILABLE_ERRORS.

    `holder` identifies this process among all that may send.
    """

    def __init__(self, pool: asyncpg.Pool, access: Access, holder: UUID) -> None:
        self._pool = pool
        self._access = access
        self._holder = holder

    async def fold(self) -> int:
        """Move new dead letters into their groups; return for how many there was no room."""
        forgotten = 0
        moved = _MOST_FOLDED
        while moved >= _MOST_FOLDED:
            row = await self._pool.fetchrow(load(_PACKAGE, "alert_fold.sql"), _MOST_FOLDED)
            assert row is not None
            moved = row["moved"]
            forgotten += row["forgotten"]
        return forgotten

    async def groups(self) -> tuple[list[AlertGroup], datetime | None]:
        """The groups, and the time by the same clock as theirs; None without groups."""
        rows = await self._read("alert_groups.sql")
        now = rows[0]["now"] if rows else None
        return [_group(row) for row in rows], now

    async def take_turn(self, lease: timedelta) -> int | None:
        """Become the sender: return how many sends failed in a row.

        None while another process is the sender, and while the channel is backing off.
        """
        failures: int | None = await self._pool.fetchval(
            load(_PACKAGE, "alert_take_turn.sql"), self._holder, lease
        )
        return failures

    async def end_turn(self, failures: int, pause: timedelta) -> None:
        """Release the turn; nobody sends until the wait is over."""
        await self._pool.execute(
            load(_PACKAGE, "alert_end_turn.sql"), self._holder, failures, pause
        )

    async def example(self, group: AlertGroup) -> Example | None:
        """The newest dead letter of a group; None if the log no longer has it."""
        rows = await self._read("alert_example.sql", group.example)
        return Example(**rows[0]) if rows else None

    async def unresolved(self, groups: Sequence[AlertGroup]) -> dict[GroupKey, int]:
        """How many dead letters are unresolved, by group."""
        rows = await self._read("alert_unresolved.sql", *_keys(groups))
        return {
            (row["org_id"], row["event_type"], row["error_class"]): row["waiting"] for row in rows
        }

    async def settle(self, groups: Sequence[AlertGroup]) -> None:
        """Mark the untold dead letters of these groups as announced, as many as counted here."""
        letters = [group.untold for group in groups]
        await self._pool.execute(
            load(_PACKAGE, "alert_settle.sql"), self._holder, *_keys(groups), letters
        )

    async def end(self, groups: Sequence[AlertGroup]) -> None:
        """Delete these groups, except those that have grown since."""
        last_ats = [group.last_at for group in groups]
        await self._pool.execute(
            load(_PACKAGE, "alert_end.sql"), self._holder, *_keys(groups), last_ats
        )

    async def prune(self) -> None:
        """Delete old notices when no channel is configured."""
        while await self._pool.fetchval(load(_PACKAGE, "alert_prune.sql"), _MOST_PRUNED):
            pass

    async def _read(self, statement: str, *values: object) -> list[Any]:
        async with (
            asyncio.timeout(_READ_TIMEOUT_S),
            self._access.as_service(_READ_TIMEOUT_S) as connection,
        ):
            return await connection.fetch(load(_PACKAGE, statement), *values)


def _group(row: asyncpg.Record) -> AlertGroup:
    return AlertGroup(**{name: value for name, value in row.items() if name != "now"})


def _keys(groups: Sequence[AlertGroup]) -> tuple[list[UUID], list[str], list[str]]:
    return (
        [group.org_id for group in groups],
        [group.event_type for group in groups],
        [group.error_class for group in groups],
    )
