"""Publishes committed manual retries that have no recorded confirm from the broker."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import reason_of
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.auth.principal import RINGBACK
from ringback.services.metrics.commands.outbox import RetryOutbox
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import ApiError, cause_of

_PACKAGE = "ringback.services.metrics.commands"
_LEASE_S = 30.0
_STATEMENT_S = 5.0
_BATCH = 20
_MAX_PRUNED = 1_000
_PRUNE_EVERY_S = 3600.0

log = structlog.get_logger()


class RetrySweeper:
    """Leases rows, publishes them, and marks them. Several sweepers may run at once.

    Two of them never publish the same row at the same time. If one dies, its lease ends after
    `lease_s`, and another publishes the rows again; the log detects the same job id. Retries
    younger than `min_age_s` are published by the call that made them.
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

        Raises ApiError when the database is unavailable or refuses a statement.
        """
        clock = asyncio.get_running_loop().time
        # After this, a publish could last longer than the lease.
        publish_until = clock() + self._lease_s / 2
        rows = await self._lease()
        published: list[UUID] = []
        rest: list[UUID] = []
        for row in rows:
            is_in_time = self._outbox.is_ready and clock() < publish_until
            try:
                done = is_in_time and await self._outbox.publish(row)
            except Exception as exc:
                # It keeps its lease, so that it does not keep the others from being published.
                log.exception(
                    LogEvent.RETRY_NOT_CONFIRMED, job_id=str(row["id"]), reason=type(exc).__name__
                )
            else:
                (published if done else rest).append(row["id"])
        if rows:
            await self._finish(published, rest, rows[0]["leased_until"])
        return len(published) == _BATCH

    async def run(self, *, interval_s: float = 1.0) -> None:
        """Sweep every `interval_s` until cancelled. After an outage it continues."""
        reason = None
        while True:
            try:
                while self._outbox.is_ready and await self.sweep():
                    pass
            except ApiError as exc:
                if exc.reason != reason:
                    log.warning(LogEvent.RETRIES_NOT_SWEPT, reason=exc.reason, cause=cause_of(exc))
                reason = exc.reason
            else:
                reason = None
            await asyncio.sleep(interval_s)

    async def _lease(self) -> list[asyncpg.Record]:
        lease = timedelta(seconds=self._lease_s)
        async with self._access.changing(self._call()) as connection:
            return await connection.fetch(
                load(_PACKAGE, "retry_lease.sql"), self._min_age, _BATCH, lease
            )

    async def _finish(
        self, published: list[UUID], rest: list[UUID], leased_until: datetime
    ) -> None:
        """Mark what was published, and end the lease of the rest."""
        async with self._access.changing(self._call()) as connection:
            if published:
                await connection.execute(load(_PACKAGE, "retry_mark_published.sql"), published)
            if rest:
                await connection.execute(load(_PACKAGE, "retry_release.sql"), rest, leased_until)
        if published:
            self._outbox.instruments.swept(len(published))
            log.info(LogEvent.RETRIES_SWEPT, count=len(published))

    def _call(self) -> Call:
        deadline = asyncio.get_running_loop().time() + _STATEMENT_S
        return Call(RINGBACK, deadline, self._stopping)


async def prune_retries(pool: asyncpg.Pool) -> None:
    """Once an hour, delete retries whose webhooks are no longer in the log, until cancelled."""
    while True:
        try:
            while await pool.fetchval(load(_PACKAGE, "retry_prune.sql"), _MAX_PRUNED):
                pass
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            log.warning(LogEvent.RETRIES_NOT_PRUNED, reason=reason_of(exc))
        await asyncio.sleep(_PRUNE_EVERY_S)
