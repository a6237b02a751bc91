"""Publishes committed retries that were not published, or whose confirm was not recorded."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.metrics.auth.access import Access
from services.metrics.auth.principal import Principal, Role
from services.metrics.commands.outbox import RetryOutbox
from services.metrics.transport.call import Call
from services.metrics.transport.errors import ApiError

_PACKAGE = "services.metrics.commands"
_SWEEPER = Principal(Role.SERVICE, None, "ringback")
_LEASE_S = 30.0
_STATEMENT_S = 5.0
_BATCH = 20
_MAX_PRUNED = 1_000
_PRUNE_EVERY_S = 3600.0

log = structlog.get_logger()


class RetrySweeper:
    """Leases rows, publishes them, and marks them. Several sweepers may run at once.

    No two publish a row at the same time. If one dies, its lease ends after `lease_s`, and its rows
    are published again under their ids, which the log recognizes. Retries younger than
    `min_age_s` are left to the call that made them.
    """

    def __init__(
        self,
        access: Access,
        outbox: RetryOutbox,
        stopping: asyncio.Event,
        *,
        min_age_s: float = 5,
        lease_s: float = _LEASE_S,
    ) -> None:
        self._access = access
        self._outbox = outbox
        self._stopping = stopping
        self._min_age = timedelta(seconds=min_age_s)
        self._lease_s = lease_s

    async def sweep(self) -> bool:
        """Publish some, oldest first; return true if more may be due.

        Raises ApiError when the database is unavailable.
        """
        clock = asyncio.get_running_loop().time
        # The lease is then still valid when the last publish, which has its own deadline, ends.
        publish_until = clock() + self._lease_s / 2
        rows = await self._lease()
        published = []
        for row in rows:
            if not self._outbox.is_ready or clock() >= publish_until:
                break
            if await self._outbox.publish(row):
                published.append(row["id"])
        if rows:
            await self._finish(rows, published)
        return len(published) == _BATCH

    async def run(self, *, interval_s: float = 1.0) -> None:
        """Sweep every `interval_s` until cancelled, and wait out any outage."""
        is_unavailable = False
        while True:
            try:
                while self._outbox.is_ready and await self.sweep():
                    pass
            except ApiError as exc:
                if not is_unavailable:
                    log.warning(LogEvent.RETRIES_NOT_SWEPT, reason=exc.reason)
                is_unavailable = True
            else:
                is_unavailable = False
            await asyncio.sleep(interval_s)

    async def _lease(self) -> list[asyncpg.Record]:
        lease = timedelta(seconds=self._lease_s)
        async with self._access.changing(self._call()) as connection:
            return await connection.fetch(
                load(_PACKAGE, "retry_lease.sql"), self._min_age, _BATCH, lease
            )

    async def _finish(self, rows: list[asyncpg.Record], published: list[UUID]) -> None:
        """Mark what was published, and end the lease of the rest."""
        rest = [row["id"] for row in rows if row["id"] not in published]
        async with self._access.changing(self._call()) as connection:
            if published:
                await connection.execute(load(_PACKAGE, "retry_mark_published.sql"), published)
            if rest:
                await connection.execute(
                    load(_PACKAGE, "retry_release.sql"), rest, rows[0]["leased_until"]
                )
        if published:
            self._outbox.instruments.swept(len(published))
            log.info(LogEvent.RETRIES_SWEPT, count=len(published))

    def _call(self) -> Call:
        deadline = asyncio.get_running_loop().time() + _STATEMENT_S
        return Call(_SWEEPER, deadline, self._stopping)


async def prune_retries(pool: asyncpg.Pool) -> None:
    """Delete retries hourly, once the log has deleted their webhooks, until cancelled."""
    while True:
        try:
            while await pool.fetchval(load(_PACKAGE, "retry_prune.sql"), _MAX_PRUNED):
                pass
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            log.warning(LogEvent.RETRIES_NOT_PRUNED, reason=type(exc).__name__)
        await asyncio.sleep(_PRUNE_EVERY_S)
