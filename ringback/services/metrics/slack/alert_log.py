"""Reads and updates what is to be announced, and leases the sending."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """The dead letters of one organisation, event type and error class since it was last quiet.

    `sent` of them are announced, `unsent` are not. `example` is the job id of the newest one.
    """

    org_id: UUID
    event_type: str
    error_class: str
    unsent: int
    sent: int
    example: UUID
    opened_at: datetime
    unsent_since: datetime | None
    last_at: datetime
    sent_at: datetime | None

    @property
    def key(self) -> "GroupKey":
        return self.org_id, self.event_type, self.error_class


GroupKey = tuple[UUID, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One dead letter from the log."""

    attempts: int
    max_attempts: int
    error_message: str | None
    trace_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedForward:
    """A forward to whose URL nothing is sent until a person starts it again."""

    destination: str
    org_id: UUID
    endpoint_id: str
    forward: str
    failing_since: datetime
    last_error: str
    stopped_at: datetime


_PACKAGE = "ringback.services.metrics.slack"
_MAX_FOLDED = 10_000
_MAX_PRUNED = 1_000
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
        """Move new dead letters into their groups; return how many the limit of groups dropped."""
        dropped = 0
        moved = _MAX_FOLDED
        while moved >= _MAX_FOLDED:
            row = await self._pool.fetchrow(load(_PACKAGE, "alert_fold.sql"), _MAX_FOLDED)
            assert row is not None
            moved = row["moved"]
            dropped += row["dropped"]
        return dropped

    async def groups(self) -> tuple[list[AlertGroup], datetime | None]:
        """The groups, and the current time of the database, whose clock their times use.

        The time is None if there are no groups.
        """
        rows = await self._read("alert_groups.sql")
        now = rows[0]["now"] if rows else None
        return [_group(row) for row in rows], now

    async def stopped_forwards(self) -> list[StoppedForward]:
        """The stopped forwards that are not announced yet, the earliest first."""
        return [StoppedForward(**row) for row in await self._read("stopped_forwards.sql")]

    async def acquire_lease(self, lease: timedelta) -> int | None:
        """Lease the sending; return how many sends have failed in a row.

        None while another process has the lease, and while no process may send after a failure.
        """
        failures: int | None = await self._pool.fetchval(
            load(_PACKAGE, "alert_acquire_lease.sql"), self._holder, lease
        )
        return failures

    async def release_lease(self, failures: int, pause: timedelta) -> None:
        """Release the lease; no process sends until the pause ends."""
        await self._pool.execute(
            load(_PACKAGE, "alert_release_lease.sql"), self._holder, failures, pause
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

    async def mark_sent(self, groups: Sequence[AlertGroup]) -> None:
        """Mark as announced as many dead letters of each group as it has `unsent` here.

        Others may have arrived since the group was read.
        """
        letters = [group.unsent for group in groups]
        await self._pool.execute(
            load(_PACKAGE, "alert_mark_sent.sql"), self._holder, *_keys(groups), letters
        )

    async def close(self, groups: Sequence[AlertGroup]) -> None:
        """Delete these groups, except those that have grown since."""
        last_ats = [group.last_at for group in groups]
        await self._pool.execute(
            load(_PACKAGE, "alert_close.sql"), self._holder, *_keys(groups), last_ats
        )

    async def close_stopped(self, forwards: Sequence[StoppedForward]) -> None:
        """Delete the notices of these forwards."""
        await self._pool.execute(
            load(_PACKAGE, "stopped_forwards_close.sql"),
            self._holder,
            [one.destination for one in forwards],
            [one.stopped_at for one in forwards],
        )

    async def prune(self) -> None:
        """Delete old notices when no channel is configured."""
        while await self._pool.fetchval(load(_PACKAGE, "alert_prune.sql"), _MAX_PRUNED):
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
