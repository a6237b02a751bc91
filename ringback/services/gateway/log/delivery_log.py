"""Writes pending rows and the ledger in batches. This never delays or fails a response.

Every accepted webhook is durably stored, and the processor writes missing rows. So a row that
cannot be written is dropped and counted, and no webhook is lost. The rows have no payload: the
processor fills it in with the first attempt.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, Self
from uuid import UUID

import asyncpg

from ringback.contract.envelope import Envelope
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import run_and_flush
from ringback.services.gateway.instruments import GatewayInstruments

_PACKAGE = "ringback.services.gateway.log"

INVALID_ROW_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    # Of a trigger that the table's owner added.
    asyncpg.RaiseError,
)
"""PostgreSQL will never accept the row. Checking the event should have prevented this."""


@dataclass(frozen=True, slots=True)
class PendingRow:
    """What the gateway knows of an accepted webhook, without its body."""

    envelope: Envelope
    call_id: str | None


@dataclass(frozen=True, slots=True)
class DeliveryLog:
    pool: asyncpg.Pool
    instance_id: UUID
    max_attempts: int

    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int:
        """Insert the rows, and the ledger's count if given; return how many rows were lost.

        Only rows whose data PostgreSQL rejects are lost. Raises one of DATABASE_UNAVAILABLE_ERRORS
        when the same call may succeed later; repeating it is safe.
        """
        try:
            await self._write_at_once(rows, accepted)
        except INVALID_ROW_ERRORS:
            lost = await self._write_one_by_one(rows)
            await self._write_at_once([], accepted)
            return lost
        return 0

    async def _write_one_by_one(self, rows: Sequence[PendingRow]) -> int:
        lost = 0
        for row in rows:
            try:
                await self._write_at_once([row], None)
            except INVALID_ROW_ERRORS:
                lost += 1
        return lost

    async def _write_at_once(self, rows: Sequence[PendingRow], accepted: int | None) -> None:
        # Sorted, because writers that lock the same ids in different orders deadlock.
        ordered = sorted(rows, key=lambda row: row.envelope.job_id)
        envelopes = [row.envelope for row in ordered]
        await self.pool.execute(
            load(_PACKAGE, "insert_pending_rows.sql"),
            [envelope.job_id for envelope in envelopes],
            [envelope.org_id for envelope in envelopes],
            [envelope.endpoint_id for envelope in envelopes],
            [envelope.event_type for envelope in envelopes],
            [envelope.received_at for envelope in envelopes],
            [row.call_id for row in ordered],
            [envelope.dedup_key for envelope in envelopes],
            [_max_attempts(envelope, self.max_attempts) for envelope in envelopes],
            self.instance_id,
            accepted,
        )


def _max_attempts(envelope: Envelope, default: int) -> int:
    schedule = envelope.retry_schedule
    return default if schedule is None else schedule.max_attempts


_MAX_BATCH_ROWS = 100
"""More would save little, and encoding them would delay the requests in the meantime."""

_BATCH_WINDOW_S = 0.2
"""How long to collect rows for a batch: it saves commits, and people do not notice the delay."""

_LEDGER_S = 1.0
"""Minimum interval between ledger writes. It is compared with the rows minutes later."""

_WRITE_TIMEOUT_S = 10.0
_FIRST_WAIT_S = 0.2
_MAX_WAIT_S = 5.0
_FLUSH_TIMEOUT_S = 3.0


class Log(Protocol):
    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int: ...


class PendingRows:
    """Writes rows while entered. On exit it writes the rest, for at most 3 s.

    `add` counts every accepted webhook for the ledger, even if its row is dropped. During an outage
    rows wait until there are `max_rows`.
    """

    def __init__(
        self,
        log: Log,
        instruments: GatewayInstruments,
        *,
        max_rows: int,
        flush_timeout_s: float = _FLUSH_TIMEOUT_S,
    ) -> None:
        self._log = log
        self._instruments = instruments
        self._max_rows = max_rows
        self._flush_timeout_s = flush_timeout_s
        self._rows: deque[PendingRow] = deque()
        self._accepted = 0
        self._in_ledger = 0
        self._ledger_at = 0.0
        self._added = asyncio.Event()
        self._stopping = asyncio.Event()

    def add(self, row: PendingRow) -> None:
        self._accepted += 1
        self._added.set()
        if len(self._rows) >= self._max_rows:
            self._instruments.pending_rows_dropped(1)
        else:
            self._rows.append(row)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Write rows in the background while entered."""
        try:
            async with run_and_flush(self._run, stop=self._stop, timeout_s=self._flush_timeout_s):
                yield self
        finally:
            self._instruments.pending_rows_dropped(len(self._rows))

    def _stop(self) -> None:
        self._stopping.set()
        self._added.set()

    async def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not (self._stopping.is_set() and self._is_flushed()):
            await self._wait_for_rows()
            try:
                await self._write_batch()
                wait_s = _FIRST_WAIT_S
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                self._instruments.pending_rows_stuck(exc)
                await (asyncio.sleep(wait_s) if self._stopping.is_set() else self._pause(wait_s))
                wait_s = min(wait_s * 2, _MAX_WAIT_S)

    async def _wait_for_rows(self) -> None:
        if self._rows:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._until_ledger_s()):
                await self._added.wait()
        await self._pause(_BATCH_WINDOW_S)

    async def _write_batch(self) -> None:
        self._added.clear()
        # The rows stay queued until they are written.
        batch = list(islice(self._rows, _MAX_BATCH_ROWS))
        accepted = self._accepted if self._until_ledger_s() == 0 else None
        if not batch and accepted is None:
            return
        lost = await self._write(batch, accepted)
        for _ in batch:
            self._rows.popleft()
        if accepted is not None:
            self._in_ledger, self._ledger_at = accepted, _now()
        self._instruments.pending_rows_written(len(batch) - lost)
        self._instruments.pending_rows_dropped(lost)

    async def _write(self, batch: Sequence[PendingRow], accepted: int | None) -> int:
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                return await self._log.write(batch, accepted=accepted)
        except DATABASE_UNAVAILABLE_ERRORS:
            raise
        except Exception:  # ruff: ignore[blind-except]  # lose the batch, keep the writer
            self._instruments.failed()
            return len(batch)

    def _is_flushed(self) -> bool:
        return not self._rows and self._in_ledger == self._accepted

    def _until_ledger_s(self) -> float | None:
        """Seconds until the ledger may be written again; None if it is up to date."""
        if self._in_ledger == self._accepted:
            return None
        wait_s = self._ledger_at + _LEDGER_S - _now()
        return 0 if self._stopping.is_set() else max(wait_s, 0)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but return at once when the gateway stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._stopping.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
