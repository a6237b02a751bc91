"""Pending rows are written beside the answers, in batches, and never delay or fail one.

The broker holds every accepted webhook, and the processor writes the row of each that has none.
So a row that cannot be written is dropped and counted, and nothing is lost by it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from ringback.runtime.ending import end
from services.gateway.delivery_log import CANNOT_WRITE
from services.gateway.observe import Observe
from services.gateway.pending_row import PendingRow

_MOST_IN_BATCH = 500
_MOST_BATCH_BYTES = 2 * 1024 * 1024
_GATHER_S = 0.02
"""How long a batch gathers rows: one commit for many, and none long after its webhook."""

_LEDGER_S = 1.0
"""How often the ledger is written at most. It is held against the rows after minutes."""

_WRITE_TIMEOUT_S = 10.0
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_FLUSH_TIMEOUT_S = 3.0


class Log(Protocol):
    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int: ...


class PendingRows:
    """Takes rows at once and writes them while it is entered; leaving writes what is left.

    `add` counts every accepted webhook for the ledger, also one whose row finds no room. During
    an outage rows wait as long as there is room; leaving waits 3 s for the database, no longer.
    """

    def __init__(self, log: Log, observe: Observe, *, most: int, most_bytes: int) -> None:
        self._log = log
        self._observe = observe
        self._most = most
        self._most_bytes = most_bytes
        self._rows: deque[PendingRow] = deque()
        self._size_bytes = 0
        self._accepted = 0
        self._in_ledger = 0
        self._ledger_at = 0.0
        self._news = asyncio.Event()
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, row: PendingRow) -> None:
        self._accepted += 1
        self._news.set()
        full = len(self._rows) >= self._most
        if full or self._size_bytes + row.size_bytes > self._most_bytes:
            self._observe.pending_rows_dropped(1)
            return
        self._rows.append(row)
        self._size_bytes += row.size_bytes

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_writing())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._leaving.set()
        self._news.set()
        await asyncio.wait([self._task], timeout=_FLUSH_TIMEOUT_S)
        await end(self._task)
        if self._rows:
            self._observe.pending_rows_dropped(len(self._rows))

    async def _keep_writing(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not (self._leaving.is_set() and self._is_all_written()):
            await self._until_there_is_work()
            try:
                await self._write_batch()
                wait_s = _FIRST_WAIT_S
            except CANNOT_WRITE as exc:
                self._observe.pending_rows_stuck(exc)
                await (asyncio.sleep(wait_s) if self._leaving.is_set() else self._pause(wait_s))
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    async def _until_there_is_work(self) -> None:
        if self._rows:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._until_ledger_s()):
                await self._news.wait()
        await self._pause(_GATHER_S)

    async def _write_batch(self) -> None:
        self._news.clear()
        batch = self._batch()
        accepted = self._accepted if self._until_ledger_s() == 0 else None
        if not batch and accepted is None:
            return
        lost = await self._lost_in_writing(batch, accepted)
        for row in batch:
            self._rows.popleft()
            self._size_bytes -= row.size_bytes
        if accepted is not None:
            self._in_ledger, self._ledger_at = accepted, _now()
        self._observe.pending_rows_written(len(batch) - lost)
        self._observe.pending_rows_dropped(lost)

    async def _lost_in_writing(self, batch: Sequence[PendingRow], accepted: int | None) -> int:
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                return await self._log.write(batch, accepted=accepted)
        except CANNOT_WRITE:
            raise
        except Exception:  # ruff: ignore[blind-except]  # a batch may be lost, the writer may not
            self._observe.failed()
            return len(batch)

    def _is_all_written(self) -> bool:
        return not self._rows and self._in_ledger == self._accepted

    def _until_ledger_s(self) -> float | None:
        """How long until the ledger may be written again; None if it says all there is to say."""
        if self._in_ledger == self._accepted:
            return None
        wait_s = self._ledger_at + _LEDGER_S - _now()
        return 0 if self._leaving.is_set() else max(wait_s, 0)

    def _batch(self) -> list[PendingRow]:
        """The oldest rows that make one batch; they stay here until they are written."""
        batch: list[PendingRow] = []
        size_bytes = 0
        for row in self._rows:
            size_bytes += row.size_bytes
            if batch and (len(batch) >= _MOST_IN_BATCH or size_bytes > _MOST_BATCH_BYTES):
                break
            batch.append(row)
        return batch

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not when we are leaving."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._leaving.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
