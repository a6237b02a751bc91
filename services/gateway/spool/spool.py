"""Stores webhooks on the local disk, many with one commit, off the event loop."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ringback.contract.envelope import Envelope
from ringback.runtime.ending import end
from ringback.runtime.lifecycle import CannotStartError
from services.gateway.spool.commit_queue import OVERHEAD_BYTES, CommitQueue, Entry
from services.gateway.spool.folder_lock import FolderInUseError, FolderLock
from services.gateway.spool.salvage import Chunk
from services.gateway.spool.spool_database import is_corruption, is_full
from services.gateway.spool.spool_file import SpoolFile
from services.gateway.spool.spool_outcome import SpoolOutcome
from services.gateway.spool.spool_row import Waiting
from services.gateway.spool.spool_thread import CANNOT_SPOOL, SpoolThread

FILE_NAME = "spool.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolBounds:
    """How much the spool may take, and what it must leave of the disk."""

    most_bytes: int
    free_bytes: int
    timeout_s: float


class Observer(Protocol):
    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def spool_set_aside(self, *, path: str, missing: int) -> None: ...
    def row_set_aside(self, *, place: int, reason: str) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


class Spool:
    """Takes webhooks while it is entered; what waits in it survives us.

    Entering raises CannotStartError when another process has this spool. A disk that cannot be
    used raises nothing: each webhook is then told so, and the next one tries again.
    """

    def __init__(self, folder: Path, bounds: SpoolBounds, observe: Observer) -> None:
        self.path = folder / FILE_NAME
        self._folder = folder
        self._bounds = bounds
        self._observe = observe
        self._file = SpoolFile(self.path)
        self._thread = SpoolThread(self._file, observe)
        self._has_failed = False
        self._lock = FolderLock(folder)
        self._queue = CommitQueue()
        self._task: asyncio.Task[None] | None = None
        self._check: asyncio.Future[bool] | None = None

    @property
    def count(self) -> int:
        """How many webhooks wait here."""
        return self._file.count

    @property
    def damaged(self) -> int:
        """How many damaged rows are kept here for a person."""
        return self._file.damaged

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes + self._file.count * OVERHEAD_BYTES

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest has waited; 0 if there is none."""
        oldest_s = self._file.oldest_s
        return max(0.0, time.time() - oldest_s) if oldest_s is not None else 0.0

    def has_room(self) -> bool:
        """Whether a webhook would find room now; the disk may still say otherwise."""
        return self._file.is_open and self._taken_bytes() < self._bounds.most_bytes

    async def can_store(self) -> bool:
        """Whether the disk takes a webhook now. After a failure it is tried by writing to it."""
        if not self.has_room():
            return False
        if self._check is None or self._check.done():
            self._check = asyncio.ensure_future(self._thread.run(self._disk_takes_more))
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                return await asyncio.shield(self._check)
        except TimeoutError:
            return False

    async def store(self, envelope: Envelope, body: bytes) -> SpoolOutcome:
        """Return once it is on the disk, or cannot be, or the time is up. Raises nothing."""
        if self._taken_bytes() + len(body) + OVERHEAD_BYTES > self._bounds.most_bytes:
            return SpoolOutcome.FULL
        outcome = self._queue.add(envelope, body)
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                return await asyncio.shield(outcome)
        except TimeoutError:
            return SpoolOutcome.SLOW

    async def after(self, place: int, *, most: int, most_bytes: int) -> list[Waiting]:
        """The oldest webhooks behind a place; damaged ones are set aside on the way.

        Raises one of CANNOT_SPOOL.
        """
        found, damaged = await self._thread.run(
            lambda: self._file.after(place, most=most, most_bytes=most_bytes)
        )
        for row in damaged:
            self._observe.row_set_aside(place=row.place, reason=row.reason)
        return found

    async def forget(self, webhooks: Sequence[Waiting]) -> None:
        """Delete what the broker has confirmed. Raises one of CANNOT_SPOOL."""
        await self._thread.run(lambda: self._file.delete(webhooks))
        if self.count == 0:
            # They are deleted; that the disk is not given back yet is no failure.
            with suppress(sqlite3.OperationalError):
                await self._thread.run(self._file.shrink)

    async def bring_back(self, rows: Chunk) -> int:
        """Store what was found in a quarantined file; return how many were not here yet.

        Raises one of CANNOT_SPOOL, also where there is no room now.
        """
        needed = sum(len(values[3]) + OVERHEAD_BYTES for _, values in rows)

        def work() -> int:
            if not self._has_free(needed):
                raise OSError("There is no room to bring webhooks back.")
            return self._file.bring_back(rows)

        return await self._thread.run(work)

    async def refresh(self) -> None:
        """Open the spool if that failed before; see what others wrote to it.

        Raises one of CANNOT_SPOOL.
        """
        if self._file.is_open:
            await self._thread.run(self._file.refresh)
        else:
            await self._thread.open()

    async def __aenter__(self) -> Self:
        try:
            self._lock.take()
        except FolderInUseError as exc:
            raise CannotStartError(
                f"Another gateway uses the spool in {self._folder} (RINGBACK_SPOOL_DIR). "
                "Each needs a folder of its own."
            ) from exc
        except OSError as exc:
            self._observe.spool_failed(exc)
        try:
            await self._thread.open()
        except CANNOT_SPOOL as exc:
            self._observe.spool_failed(exc)
        self._task = asyncio.create_task(self._keep_committing())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        await end(self._task)
        await self._thread.close()
        self._lock.release()

    def _taken_bytes(self) -> int:
        return self.size_bytes + self._queue.size_bytes

    async def _keep_committing(self) -> None:
        while True:
            batch = await self._queue.batch()
            self._queue.ended(batch, await self._committed(batch))

    async def _committed(self, batch: list[Entry]) -> SpoolOutcome:
        try:
            outcome = await self._appended(batch)
        except Exception as exc:  # ruff: ignore[blind-except]  # one batch must not end those to come
            self._observe.spool_failed(exc)
            outcome = SpoolOutcome.BROKEN
        self._has_failed = outcome is not SpoolOutcome.SPOOLED
        return outcome

    async def _appended(self, batch: list[Entry]) -> SpoolOutcome:
        if not self._file.is_open:
            await self._thread.open()
        try:
            return await self._thread.run(lambda: self._append(batch))
        except sqlite3.DatabaseError as exc:
            if is_full(exc):
                return SpoolOutcome.FULL
            if not is_corruption(exc):
                raise
        # The file was replaced by an empty one.
        return await self._thread.run(lambda: self._append(batch))

    def _append(self, batch: list[Entry]) -> SpoolOutcome:
        if not self._has_free(sum(entry.needed_bytes for entry in batch)):
            return SpoolOutcome.FULL
        self._file.append((entry.envelope, entry.body) for entry in batch)
        return SpoolOutcome.SPOOLED

    def _has_free(self, needed: int) -> bool:
        return self._file.free_bytes() - needed >= self._bounds.free_bytes

    def _disk_takes_more(self) -> bool:
        try:
            if not self._has_free(OVERHEAD_BYTES):
                return False
            if self._has_failed:
                self._file.try_write()
                self._has_failed = False
        except CANNOT_SPOOL:
            return False
        return True
