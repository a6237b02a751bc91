"""Stores webhooks on the local disk in a separate thread, many webhooks per commit."""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self, TypeAlias, TypeVar

from ringback.runtime.process.background import run_in_background
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.gateway.storage.result import SpoolOutcome
from ringback.services.gateway.storage.spool.database import (
    SPOOL_ERRORS,
    FolderInUseError,
    FolderLock,
    is_corruption,
    is_full,
)
from ringback.services.gateway.storage.spool.file import FILE_NAME, Rows, SpooledWebhook, SpoolFile
from ringback.services.gateway.storage.spool.quarantine import QuarantinedFile
from ringback.services.gateway.webhook import OVERHEAD_BYTES, AcceptedWebhook, batch_of

_MAX_COMMIT_WEBHOOKS = 500
_MAX_COMMIT_BYTES = 16 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolBounds:
    """How much space the spool may use, and how much it must leave free on the disk.

    `queue_bytes` is how much may wait in memory for the disk, also after its requests have ended.
    """

    max_bytes: int
    free_bytes: int
    queue_bytes: int
    timeout_s: float


class Instruments(Protocol):
    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def file_quarantined(self, *, path: str, missing: int) -> None: ...
    def row_quarantined(self, *, sequence: int, reason: str) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


_Outcome: TypeAlias = "asyncio.Future[SpoolOutcome]"


@dataclass(slots=True)
class _CommitQueue:
    """`size_bytes` counts the webhooks in the queue and those in the commit that is running."""

    size_bytes: int = 0
    _waiting: deque[AcceptedWebhook] = field(default_factory=deque)
    _outcomes: deque[_Outcome] = field(default_factory=deque)
    _added: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, webhook: AcceptedWebhook) -> _Outcome:
        outcome: _Outcome = asyncio.get_running_loop().create_future()
        self._waiting.append(webhook)
        self._outcomes.append(outcome)
        self.size_bytes += webhook.size_bytes
        self._added.set()
        return outcome

    async def batch(self) -> list[AcceptedWebhook]:
        """Wait for webhooks, and return as many as fit into one commit."""
        while not self._waiting:
            self._added.clear()
            await self._added.wait()
        return batch_of(self._waiting, max_count=_MAX_COMMIT_WEBHOOKS, max_bytes=_MAX_COMMIT_BYTES)

    def finish(self, batch: Sequence[AcceptedWebhook], result: SpoolOutcome) -> None:
        """Report the outcome of a commit to the callers that wait for it."""
        for webhook in batch:
            self._waiting.popleft()
            self.size_bytes -= webhook.size_bytes
            outcome = self._outcomes.popleft()
            if not outcome.done():
                outcome.set_result(result)


class _SpoolThread:
    """Uses the file in one thread, one call at a time. Replaces it at once if it is corrupt."""

    def __init__(self, file: SpoolFile, instruments: Instruments) -> None:
        self._file = file
        self._instruments = instruments
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._quarantined: list[QuarantinedFile] = []

    async def open(self) -> None:
        """Open the file. Raises one of SPOOL_ERRORS."""
        await self.run(self._open)
        self._instruments.spool_opened(path=str(self._file.path), waiting=self._file.count)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread; return or raise what it does."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._guarded, work)
        finally:
            while self._quarantined:
                kept = self._quarantined.pop()
                self._instruments.file_quarantined(path=str(kept.path), missing=kept.missing)

    async def close(self) -> None:
        await asyncio.to_thread(self._executor.shutdown)
        self._file.close()

    def _open(self) -> None:
        quarantined = self._file.open()
        if quarantined is not None:
            self._quarantined.append(quarantined)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.DatabaseError as exc:
            if is_corruption(exc):
                self._quarantined.append(self._file.quarantine_file())
            raise


class Spool:
    """Accepts webhooks while running; those that wait in it survive a restart.

    Starting raises CannotStartError when another process uses the folder. A disk that cannot be
    used raises nothing: `store` reports it for each webhook, and the next one tries again.
    """

    def __init__(
        self,
        folder: Path,
        bounds: SpoolBounds,
        instruments: Instruments,
        open_file: Callable[[Path], SpoolFile] = SpoolFile,
    ) -> None:
        self.path = folder / FILE_NAME
        self._folder = folder
        self._bounds = bounds
        self._instruments = instruments
        self._file = open_file(self.path)
        self._thread = _SpoolThread(self._file, instruments)
        self._has_failed = False
        self._lock = FolderLock(folder)
        self._queue = _CommitQueue()
        self._check: asyncio.Future[bool] | None = None

    @property
    def count(self) -> int:
        """How many webhooks are waiting."""
        return self._file.count

    @property
    def damaged(self) -> int:
        """How many damaged rows are kept."""
        return self._file.damaged

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes + self._file.count * OVERHEAD_BYTES

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest webhook has waited; 0 if there is none."""
        oldest_s = self._file.oldest_s
        return max(0.0, time.time() - oldest_s) if oldest_s is not None else 0.0

    def has_room(self) -> bool:
        """Whether the spool is open and below its limit; the disk may still be full."""
        return self._file.is_open and self._used_bytes() < self._bounds.max_bytes

    async def can_store(self) -> bool:
        """Whether the disk accepts a webhook now. After a failure this tries to write to it."""
        if not self.has_room():
            return False
        if self._check is None or self._check.done():
            self._check = asyncio.ensure_future(self._thread.run(self._is_writable))
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                return await asyncio.shield(self._check)
        except TimeoutError:
            return False

    async def store(self, webhook: AcceptedWebhook) -> SpoolOutcome:
        """Return once it is on the disk, cannot be stored, or has timed out. Raises nothing."""
        if self._used_bytes() + webhook.size_bytes > self._bounds.max_bytes:
            return SpoolOutcome.FULL
        if self._queue.size_bytes + webhook.size_bytes > self._bounds.queue_bytes:
            return SpoolOutcome.SLOW
        outcome = self._queue.add(webhook)
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                return await asyncio.shield(outcome)
        except TimeoutError:
            return SpoolOutcome.SLOW

    async def read_after(
        self, sequence: int, *, max_count: int, max_bytes: int
    ) -> list[SpooledWebhook]:
        """Read the oldest webhooks after a sequence number; quarantine damaged rows on the way.

        Raises one of SPOOL_ERRORS.
        """
        found, damaged = await self._thread.run(
            lambda: self._file.read_after(sequence, max_count=max_count, max_bytes=max_bytes)
        )
        for row in damaged:
            self._instruments.row_quarantined(sequence=row.sequence, reason=row.reason)
        return found

    async def delete(self, webhooks: Sequence[SpooledWebhook]) -> None:
        """Delete webhooks that the broker has confirmed. Raises one of SPOOL_ERRORS."""
        await self._thread.run(lambda: self._file.delete(webhooks))
        if self.count == 0:
            # The webhooks are deleted; failing to free the disk space is not an error.
            with suppress(sqlite3.OperationalError):
                await self._thread.run(self._file.shrink)

    async def restore(self, rows: Rows) -> int:
        """Store rows of a quarantined file; return how many were not in the spool yet.

        Raises one of SPOOL_ERRORS, also if there is no space.
        """
        needed = sum(len(values[3]) + OVERHEAD_BYTES for _, values in rows)

        def work() -> int:
            if not self._has_free(needed):
                raise OSError("Not enough free disk space to restore webhooks.")
            return self._file.restore(rows)

        return await self._thread.run(work)

    async def refresh(self) -> None:
        """Open the spool if that failed before; count what other processes wrote to it.

        Raises one of SPOOL_ERRORS.
        """
        if self._file.is_open:
            await self._thread.run(self._file.refresh)
        else:
            await self._thread.open()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Accept webhooks while entered."""
        self._acquire()
        try:
            await self._thread.open()
        except SPOOL_ERRORS as exc:
            self._instruments.spool_failed(exc)
        try:
            async with run_in_background(self._run):
                yield self
        finally:
            await self._thread.close()
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except FolderInUseError as exc:
            raise CannotStartError(
                f"Another gateway uses the spool in {self._folder}. Give each gateway its own "
                "folder (RINGBACK_SPOOL_DIR)."
            ) from exc
        except OSError as exc:
            self._instruments.spool_failed(exc)

    def _used_bytes(self) -> int:
        return self.size_bytes + self._queue.size_bytes

    async def _run(self) -> None:
        while True:
            batch = await self._queue.batch()
            self._queue.finish(batch, await self._commit(batch))

    async def _commit(self, batch: Sequence[AcceptedWebhook]) -> SpoolOutcome:
        try:
            outcome = await self._append(batch)
        except Exception as exc:  # ruff: ignore[blind-except]  # one batch must not end the loop
            self._instruments.spool_failed(exc)
            outcome = SpoolOutcome.BROKEN
        self._has_failed = outcome is not SpoolOutcome.SPOOLED
        return outcome

    async def _append(self, batch: Sequence[AcceptedWebhook]) -> SpoolOutcome:
        if not self._file.is_open:
            await self._thread.open()
        try:
            return await self._thread.run(lambda: self._append_to_file(batch))
        except sqlite3.DatabaseError as exc:
            if is_full(exc):
                return SpoolOutcome.FULL
            if not is_corruption(exc):
                raise
        # The corrupt file was replaced by an empty one.
        return await self._thread.run(lambda: self._append_to_file(batch))

    def _append_to_file(self, batch: Sequence[AcceptedWebhook]) -> SpoolOutcome:
        if not self._has_free(sum(webhook.size_bytes for webhook in batch)):
            return SpoolOutcome.FULL
        self._file.append((webhook.envelope, webhook.body) for webhook in batch)
        return SpoolOutcome.SPOOLED

    def _has_free(self, needed: int) -> bool:
        return self._file.free_bytes() - needed >= self._bounds.free_bytes

    def _is_writable(self) -> bool:
        try:
            if not self._has_free(OVERHEAD_BYTES):
                return False
            if self._has_failed:
                self._file.try_write()
                self._has_failed = False
        except SPOOL_ERRORS:
            return False
        return True
