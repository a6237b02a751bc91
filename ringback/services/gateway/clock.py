"""The time in job ids: this machine's, or the database's if this machine's clock is wrong."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import run_in_background

MAX_OFFSET_S = 10.0
"""Machines with synchronized clocks differ by milliseconds."""

_COMPARE_EVERY_S = 60.0
_RETRY_AFTER_S = 5.0
_MAX_ROUND_TRIP_S = 2.0

log = structlog.get_logger()


class Clock:
    """Creates job ids. Uses this machine's clock unless the database's differs by more than 10 s.

    The monotonic clock continues the database's time, so it stays right while the database is
    unavailable, and when someone sets this machine's clock.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._database_at_zero: float | None = None
        """The time of the database when the monotonic clock was at 0."""
        self._is_wrong = False
        self._compared_once = asyncio.Event()

    @property
    def offset_s(self) -> float:
        """How far this machine's clock is ahead of the database's; 0 while unknown."""
        if self._database_at_zero is None:
            return 0.0
        return self._wall() - (self._database_at_zero + self._monotonic())

    def new_job_id(self) -> JobId:
        offset_s = self.offset_s
        if -MAX_OFFSET_S <= offset_s <= MAX_OFFSET_S:
            return new_job_id()
        return new_job_id(at_s=self._wall() - offset_s)

    async def compare(self, pool: asyncpg.Pool) -> None:
        """Read the database's time. Raises one of DATABASE_UNAVAILABLE_ERRORS.

        A slow response is ignored, because it is imprecise.
        """
        async with pool.acquire() as connection:
            sent_at = self._monotonic()
            database_s = await connection.fetchval(
                load("ringback.services.gateway", "database_time.sql")
            )
            received_at = self._monotonic()
        if received_at - sent_at <= _MAX_ROUND_TRIP_S:
            self._database_at_zero = database_s - (sent_at + received_at) / 2
            self._log_change()

    @asynccontextmanager
    async def comparing(self, pool: asyncpg.Pool) -> AsyncGenerator[None, None]:
        """Compare once a minute while entered, and more often while the database is unavailable."""
        async with run_in_background(lambda: self._compare_forever(pool)):
            yield

    async def first_comparison(self, *, within_s: float) -> None:
        """Wait until the first comparison has succeeded, failed or timed out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._compared_once.wait()

    async def _compare_forever(self, pool: asyncpg.Pool) -> None:
        while True:
            try:
                await self.compare(pool)
                wait_s = _COMPARE_EVERY_S
            except DATABASE_UNAVAILABLE_ERRORS:
                wait_s = _RETRY_AFTER_S
            self._compared_once.set()
            await asyncio.sleep(wait_s)

    def _log_change(self) -> None:
        offset_s = self.offset_s
        is_wrong = abs(offset_s) > MAX_OFFSET_S
        if is_wrong and not self._is_wrong:
            log.error(LogEvent.CLOCK_OFF, offset_s=round(offset_s, 1))
        elif self._is_wrong and not is_wrong:
            log.info(LogEvent.CLOCK_CORRECTED, offset_s=round(offset_s, 1))
        self._is_wrong = is_wrong
