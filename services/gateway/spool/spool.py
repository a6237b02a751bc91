"""Stores webhooks on the local disk, many with one commit, off the event loop."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from ringback.contract.envelope import Envelope
from ringback.runtime.lifecycle import CannotStartError
from services.gateway.spool.folder_lock import FolderInUseError, FolderLock
from services.gateway.spool.spool_file import SpoolFile, Waiting, is_corruption, is_full
from services.gateway.spool.spool_outcome import SpoolOutcome

FILE_NAME = "spool.sqlite3"

_OVERHEAD_BYTES = 1024
"""What a webhook takes beside its body: headers, the page it does not fill."""

_MOST_IN_COMMIT = 500
_MOST_COMMIT_BYTES = 16 * 1024 * 1024

T = TypeVar("T")

CANNOT_SPOOL = (sqlite3.Error, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolBounds:
    """How much the spool may take, and what it must leave of the disk."""

    most_bytes: int
    free_bytes: int
    timeout_s: float


class Observer(Protocol):
    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def spool_set_aside(self, *, path: str) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


@dataclass(slots=True)
class _Entry:
    envelope: Envelope
    body: bytes
    outcome: "asyncio.Future[SpoolOutcome]"


class Spool:
    """Takes webhooks while it is entered; what waits in it survives us.

    Entering raises CannotStartError when another process has this spool. A disk that cannot be
    used raises nothing: each webhook is then told so, and the next one tries again.
    """

    def __init__(self, folder: Path, bounds: SpoolBounds, observe: Observer) -> None:
        self._folder = folder
        self._bounds = bounds
        self._observe = observe
        self._file = SpoolFile(folder / FILE_NAME)
        self._is_open = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._lock = FolderLock(folder)
        self._waiting: list[_Entry] = []
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._count = 0
        self._size_bytes = 0
        self._oldest_s: float | None = None

    @property
    def count(self) -> int:
        """How many webhooks wait here."""
        return self._count

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest has waited; 0 if there is none."""
        return max(0.0, time.time() - self._oldest_s) if self._oldest_s is not None else 0.0

    def has_room(self) -> bool:
        """Whether a webhook would find room now; the disk may still say otherwise."""
        taken = self._size_bytes + self._waiting_bytes
        return self._is_open and taken < self._bounds.most_bytes

    async def store(self, envelope: Envelope, body: bytes) -> SpoolOutcome:
        """Return once it is on the disk, or cannot be, or the time is up. Raises nothing."""
        needed = len(body) + _OVERHEAD_BYTES
        if self._size_bytes + self._waiting_bytes + needed > self._bounds.most_bytes:
            return SpoolOutcome.FULL
        outcome: asyncio.Future[SpoolOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(envelope, body, outcome))
        self._waiting_bytes += needed
        self._news.set()
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                return await asyncio.shield(outcome)
        except TimeoutError:
            return SpoolOutcome.SLOW

    async def after(self, place: int, *, most: int, most_bytes: int) -> list[Waiting]:
        """The oldest webhooks behind a place. Raises one of CANNOT_SPOOL."""
        return await self._safely(lambda: self._file.after(place, most=most, most_bytes=most_bytes))

    async def forget(self, webhooks: Sequence[Waiting]) -> None:
        """Delete what the broker has confirmed. Raises one of CANNOT_SPOOL."""
        places = [webhook.place for webhook in webhooks]
        self._oldest_s = await self._safely(lambda: self._deleted(places))
        self._count -= len(webhooks)
        self._size_bytes -= sum(len(webhook.body) + _OVERHEAD_BYTES for webhook in webhooks)
        if self._count == 0:
            self._size_bytes = 0
            await self._in_thread(self._file.shrink)

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
        await self._open()
        self._task = asyncio.create_task(self._keep_committing())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await asyncio.to_thread(self._thread.shutdown)
        self._file.close()
        self._lock.release()

    async def _open(self) -> None:
        try:
            aside = await self._in_thread(self._file.open)
            totals = await self._in_thread(self._file.totals)
            self._oldest_s = await self._in_thread(self._file.oldest_s)
        except CANNOT_SPOOL as exc:
            self._observe.spool_failed(exc)
            return
        if aside is not None:
            self._observe.spool_set_aside(path=str(aside))
        self._count = totals.count
        self._size_bytes = totals.size_bytes + totals.count * _OVERHEAD_BYTES
        self._is_open = True
        self._observe.spool_opened(path=str(self._file.path), waiting=totals.count)

    async def _set_aside(self) -> None:
        """Go on with an empty file when this one turned out to be corrupt."""
        self._is_open = False
        aside = await self._in_thread(self._file.begin_anew)
        self._observe.spool_set_aside(path=str(aside))
        self._count, self._size_bytes, self._oldest_s = 0, 0, None
        self._is_open = True

    async def _keep_committing(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                batch = self._batch()
                outcome = await self._committed(batch)
                for entry in batch:
                    if not entry.outcome.done():
                        entry.outcome.set_result(outcome)

    def _batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size_bytes = 0
        for entry in self._waiting:
            size_bytes += len(entry.body)
            if batch and (len(batch) >= _MOST_IN_COMMIT or size_bytes > _MOST_COMMIT_BYTES):
                break
            batch.append(entry)
        del self._waiting[: len(batch)]
        return batch

    async def _committed(self, batch: list[_Entry]) -> SpoolOutcome:
        needed = sum(len(entry.body) + _OVERHEAD_BYTES for entry in batch)
        try:
            outcome = await self._appended(batch, needed)
        except CANNOT_SPOOL as exc:
            self._observe.spool_failed(exc)
            return SpoolOutcome.BROKEN
        finally:
            self._waiting_bytes -= needed
        if outcome is SpoolOutcome.SPOOLED:
            if self._oldest_s is None:
                self._oldest_s = time.time()
            self._count += len(batch)
            self._size_bytes += needed
        return outcome

    async def _appended(self, batch: list[_Entry], needed: int) -> SpoolOutcome:
        if not self._is_open:
            await self._open()
        try:
            return await self._safely(lambda: self._append(batch, needed))
        except sqlite3.DatabaseError as exc:
            if is_full(exc):
                return SpoolOutcome.FULL
            if not is_corruption(exc):
                raise
        return await self._in_thread(lambda: self._append(batch, needed))

    def _append(self, batch: list[_Entry], needed: int) -> SpoolOutcome:
        if self._file.free_bytes() - needed < self._bounds.free_bytes:
            return SpoolOutcome.FULL
        self._file.append((entry.envelope, entry.body) for entry in batch)
        return SpoolOutcome.SPOOLED

    def _deleted(self, places: list[int]) -> float | None:
        self._file.delete(places)
        return self._file.oldest_s()

    async def _safely(self, work: Callable[[], T]) -> T:
        """Do it in the thread. A file that proves corrupt is set aside before that is raised."""
        try:
            return await self._in_thread(work)
        except sqlite3.DatabaseError as exc:
            if is_corruption(exc):
                await self._set_aside()
            raise

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
