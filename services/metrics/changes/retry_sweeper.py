"""Publishes committed retries that have no recorded confirm."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import ApiError
from services.metrics.api.principal import Principal, Role
from services.metrics.changes.retry_outbox import RetryOutbox

_PACKAGE = "services.metrics"
_OURSELVES = Principal(Role.SERVICE, None, "ringback")
_SWEEP_S = 30.0
_MOST = 20
_MOST_PRUNED = 1_000
_PRUNE_EVERY_S = 3600.0

log = structlog.get_logger()


class RetrySweeper:
    """Several sweepers may run at once: each locks its rows, and the others skip them.

    `min_age_s` is how old a retry must be: its own call publishes it sooner than that.
    """

    def __init__(
        self, access: Access, outbox: RetryOutbox, stopping: asyncio.Event, *, min_age_s: float = 5
    ) -> None:
        self._access = access
        self._outbox = outbox
        self._stopping = stopping
        self._min_age = timedelta(seconds=min_age_s)

    async def sweep(self) -> bool:
        """Publish some, oldest first; return true if more may be due.

        If the process dies here, it has published some of them and marked none: they are published
        again under their ids, which the log recognizes. Raises ApiError when the database is
        unavailable.
        """
        deadline = asyncio.get_running_loop().time() + _SWEEP_S
        call = Call(_OURSELVES, deadline, self._stopping)
        async with self._access.changing(call) as connection:
            rows = await connection.fetch(
                load(_PACKAGE, "retry_unpublished.sql"), self._min_age, _MOST
            )
            published = []
            for row in rows:
                if not self._outbox.is_open or call.remaining_s() < _SWEEP_S / 2:
                    break
                if await self._outbox.publish(row):
                    published.append(row["id"])
            if published:
                await connection.execute(load(_PACKAGE, "retry_mark_published.sql"), published)
                self._outbox.counter.swept(len(published))
                log.info(LogEvent.RETRIES_SWEPT, count=len(published))
        return len(published) == _MOST

    async def keep_sweeping(self, *, interval_s: float = 1.0) -> None:
        """Sweep every `interval_s` until cancelled, and wait out any outage."""
        while True:
            try:
                while self._outbox.is_open and await self.sweep():
                    pass
            except ApiError as exc:
                log.warning(LogEvent.RETRIES_NOT_SWEPT, reason=exc.reason)
            await asyncio.sleep(interval_s)


async def keep_pruning_retries(pool: asyncpg.Pool) -> None:
    """Delete retries hourly, once the log has deleted their webhooks, until cancelled."""
    while True:
        try:
            while await pool.fetchval(load(_PACKAGE, "retry_prune.sql"), _MOST_PRUNED):
                pass
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            log.warning(LogEvent.RETRIES_NOT_PRUNED, reason=type(exc).__name__)
        await asyncio.sleep(_PRUNE_EVERY_S)
