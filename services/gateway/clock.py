"""The time in job ids: this machine's, or the database's where this machine's clock is far off."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import structlog

from ringback.contract.identity import JobId, new_job_id
from ringback.contract.telemetry import LogEvent
from ringback.runtime.ending import end
from ringback.runtime.postgres import DATABASE_AWAY
from ringback.runtime.queries import load

MAX_OFFSET_S = 10.0
"""Two machines that follow time servers differ by milliseconds."""

_ASK_EVERY_S = 60.0
_ASK_AGAIN_S = 5.0
_MAX_ROUND_TRIP_S = 2.0

log = structlog.get_logger()


class Clock:
    """Makes job ids. Until the database has answered, and close to its time, by the own clock.

    The database's time is carried on by the monotonic clock, so it stays right while the database
    is away and when somebody sets this machine's clock.
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
        self._is_off = False
        self._first_try = asyncio.Event()

    @property
    def offset_s(self) -> float:
        """How far this machine's clock is ahead of the database's; 0 while that is not known."""
        if self._database_at_zero is None:
            return 0.0
        return self._wall() - (self._database_at_zero + self._monotonic())

    def new_job_id(self) -> JobId:
        offset_s = self.offset_s
        if -MAX_OFFSET_S <= offset_s <= MAX_OFFSET_S:
            return new_job_id()
        return new_job_id(at_s=self._wall() - offset_s)

    async def compare(self, pool: asyncpg.Pool) -> None:
        """Ask for the database's time. Raises one of DATABASE_AWAY.

        An answer that took long says little about the present, and is not used.
        """
        async with pool.acquire() as connection:
            asked_at = self._monotonic()
            database_s = await connection.fetchval(load("services.gateway", "database_time.sql"))
            answered_at = self._monotonic()
        if answered_at - asked_at <= _MAX_ROUND_TRIP_S:
            self._database_at_zero = database_s - (asked_at + answered_at) / 2
            self._log_change()

    @asynccontextmanager
    async def following(self, pool: asyncpg.Pool) -> AsyncGenerator[None, None]:
        """Compare once a minute while it is entered. A database that is away is asked again."""
        task = asyncio.create_task(self._follow(pool))
        try:
            yield
        finally:
            await end(task)

    async def tried(self, *, within_s: float) -> None:
        """Wait until the first comparison has succeeded or failed, or until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._first_try.wait()

    async def _follow(self, pool: asyncpg.Pool) -> None:
        while True:
            try:
                await self.compare(pool)
                wait_s = _ASK_EVERY_S
            except DATABASE_AWAY:
                wait_s = _ASK_AGAIN_S
            self._first_try.set()
            await asyncio.sleep(wait_s)

    def _log_change(self) -> None:
        offset_s = self.offset_s
        is_off = abs(offset_s) > MAX_OFFSET_S
        if is_off and not self._is_off:
            log.error(LogEvent.CLOCK_OFF, offset_s=round(offset_s, 1))
        elif self._is_off and not is_off:
            log.info(LogEvent.CLOCK_RIGHT, offset_s=round(offset_s, 1))
        self._is_off = is_off
