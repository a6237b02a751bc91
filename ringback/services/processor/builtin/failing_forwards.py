"""Stops a forward whose URL has only failed for days, until a person starts it again."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import asyncpg
import orjson
import structlog
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import LogEvent, Metric
from ringback.runtime.endpoints.forwards import Forward
from ringback.runtime.observability.instruments import Instruments
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import run_in_background

_STOPPED_AFTER = timedelta(days=5)
_REPORT_EVERY_S = 60.0
_TIMEOUT_S = 5.0

log = structlog.get_logger()


class FailingForwards:
    """Reports once a minute which destinations answered, and which only failed.

    The database knows since when one has only failed in all processors. After five days it forces
    its breaker open: webhooks wait, until a person sets the destination to automatic again. The
    metrics service reports that on Slack.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        registry: CollectorRegistry,
        *,
        stopped_after: timedelta = _STOPPED_AFTER,
    ) -> None:
        self._pool = pool
        self._stopped_after = stopped_after
        self._stopped = Instruments(registry).counter(Metric.FORWARDS_STOPPED)
        self._succeeded: set[str] = set()
        self._failed: dict[str, dict[str, str]] = {}

    def ended(self, forward: Forward, org_id: UUID, error: str | None) -> None:
        """Count an attempt that reached its end, with its error if it failed."""
        destination = forward.destination
        if error is None:
            self._succeeded.add(destination)
            return
        self._failed[destination] = {
            "destination": destination,
            "org_id": str(org_id),
            "endpoint_id": forward.endpoint_id,
            "forward": forward.name,
            "error": error,
        }

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        async with run_in_background(self._report_forever):
            yield

    async def report(self) -> None:
        """Report what ended since the last report. What cannot be reported is kept."""
        succeeded, failed = self._succeeded, self._failed
        if not succeeded and not failed:
            return
        # What ends from here on belongs to the next report.
        self._succeeded, self._failed = set(), {}
        try:
            stopped = await _record(self._pool, sorted(succeeded), failed, self._stopped_after)
        except DATABASE_UNAVAILABLE_ERRORS:
            # Others report the outage, and this report is repeated with the next one.
            self._succeeded |= succeeded
            self._failed = failed | self._failed
            return
        for row in stopped:
            self._stopped.inc()
            log.error(
                LogEvent.FORWARD_STOPPED,
                destination=row["destination"],
                failing_since=row["failing_since"],
            )

    async def _report_forever(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            await self.report()


async def check(pool: asyncpg.Pool) -> None:
    """Run the statement without a destination. Raises what it would raise with one."""
    await _record(pool, [], {}, _STOPPED_AFTER)


async def _record(
    pool: asyncpg.Pool,
    succeeded: list[str],
    failed: dict[str, dict[str, str]],
    stopped_after: timedelta,
) -> list[asyncpg.Record]:
    return await pool.fetch(
        load("ringback.services.processor.builtin", "forward_outcomes.sql"),
        succeeded,
        orjson.dumps(list(failed.values())).decode(),
        stopped_after,
        timeout=_TIMEOUT_S,
    )
