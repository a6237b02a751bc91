"""Publishes waiting webhooks when they are due. One runs in each processor."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from time import perf_counter
from typing import Protocol
from uuid import UUID

import aio_pika
import asyncpg
import structlog

from ringback.contract.status import WaitReason
from ringback.contract.telemetry import LogEvent
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import detail_of
from ringback.runtime.process.background import run_and_flush
from ringback.services.processor.attempt.result import Wait
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.waits.pace import ReleasePace
from ringback.services.processor.waits.wait_rows import message_of

_PACKAGE = "ringback.services.processor.waits"
_BATCH = 100
_MAX_BYTES = 8 * 1024 * 1024
_LEASE_S = 30.0
"""Longer than a batch takes: publishes are at once, each with a deadline of a few seconds."""

_INTERVAL_S = 1.0
_FLUSH_TIMEOUT_S = 6.0

log = structlog.get_logger()


class WaitPublisher(Protocol):
    @property
    def is_connected(self) -> bool:
        """Whether a publish may succeed now."""

    async def publish(self, message: aio_pika.Message, *, exchange: str, routing_key: str) -> None:
        """Return once the broker has the message on disk.

        Raises one of BROKER_UNAVAILABLE_ERRORS, within its own deadline.
        """


class WaitSweeper:
    """Leases waits that are due, publishes their messages, and deletes them.

    Several may run at once: none publishes a row that another has leased. If a process dies in
    between, the lease ends, and another one publishes the message again; the log makes one attempt
    of the two.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        publisher: WaitPublisher,
        pace: ReleasePace,
        instruments: ProcessorInstruments,
        *,
        may_sweep: Callable[[], bool],
        interval_s: float = _INTERVAL_S,
        lease_s: float = _LEASE_S,
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._pace = pace
        self._instruments = instruments
        self._may_sweep = may_sweep
        self._interval_s = interval_s
        self._lease = timedelta(seconds=lease_s)
        self._due = asyncio.Event()
        self._is_stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Sweep in the background while entered. At the end, finish the batch in flight."""
        async with run_and_flush(self._run, stop=self._stop, timeout_s=_FLUSH_TIMEOUT_S):
            yield

    def added(self, wait: Wait) -> None:
        """This process has written a wait. One that is due soon is not left to the interval."""
        if wait.destination is not None:
            self._pace.use([wait.destination], asyncio.get_running_loop().time(), tokens=0)
        if wait.delay_ms is not None and wait.delay_ms < self._interval_s * 1000:
            asyncio.get_running_loop().call_later(wait.delay_ms / 1000, self._due.set)

    async def sweep(self) -> int:
        """Publish a batch of what is due, and return how many were published.

        Raises one of DATABASE_UNAVAILABLE_ERRORS; what was leased then is published again later.
        """
        started = perf_counter()
        rows = await self._lease_rows()
        if not rows:
            self._instruments.swept(perf_counter() - started)
            return 0
        are_published = await asyncio.gather(*map(self._publish, rows))
        published = [row for row, done in zip(rows, are_published, strict=True) if done]
        rest = [row for row, done in zip(rows, are_published, strict=True) if not done]
        await self._pool.execute(
            load(_PACKAGE, "end_leases.sql"), _ids(published), _ids(rest), rows[0]["leased_until"]
        )
        self._instruments.swept(
            perf_counter() - started, [WaitReason(row["reason"]) for row in published]
        )
        return len(published)

    async def _run(self) -> None:
        is_failing = False
        while not self._is_stopping:
            self._due.clear()
            try:
                while self._can_sweep() and await self.sweep():
                    pass
                is_failing = False
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                if not is_failing:
                    log.warning(
                        LogEvent.WAITS_NOT_SWEPT, reason=type(exc).__name__, detail=detail_of(exc)
                    )
                is_failing = True
            await self._pause()

    def _can_sweep(self) -> bool:
        return not self._is_stopping and self._publisher.is_connected and self._may_sweep()

    async def _pause(self) -> None:
        """Wait for the interval, or until a wait is due. While it cannot sweep, only the first."""
        due = self._due if self._can_sweep() or self._is_stopping else asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                await due.wait()

    def _stop(self) -> None:
        self._is_stopping = True
        self._due.set()

    async def _lease_rows(self) -> list[asyncpg.Record]:
        now_s = asyncio.get_running_loop().time()
        limits = self._pace.limits(now_s)
        rows = await self._pool.fetch(
            load(_PACKAGE, "lease_waits.sql"),
            list(limits),
            list(limits.values()),
            self._pace.first,
            _BATCH,
            self._lease,
            _MAX_BYTES,
        )
        self._pace.use([row["destination"] for row in rows if row["destination"]], now_s)
        return rows

    async def _publish(self, row: asyncpg.Record) -> bool:
        """Whether the broker confirms it. If that is unknown, it is published again."""
        try:
            message, exchange, routing_key = message_of(row)
            await self._publisher.publish(message, exchange=exchange, routing_key=routing_key)
        except BROKER_UNAVAILABLE_ERRORS as exc:
            log.warning(
                LogEvent.WAIT_NOT_PUBLISHED,
                job_id=str(row["delivery_id"]),
                reason=type(exc).__name__,
            )
            return False
        except Exception:
            # A row that cannot be published must not keep the others from it.
            log.exception(LogEvent.WAITS_SWEEP_FAILED, job_id=str(row["delivery_id"]))
            return False
        return True


async def check_waits(pool: asyncpg.Pool) -> None:
    """Run each statement without a wait. Raises what it would raise with one."""
    await pool.fetch(load(_PACKAGE, "lease_waits.sql"), [], [], 0, 0, timedelta(), _MAX_BYTES)
    await pool.execute(load(_PACKAGE, "end_leases.sql"), [], [], None)


def _ids(rows: Sequence[asyncpg.Record]) -> list[UUID]:
    return [row["delivery_id"] for row in rows]
