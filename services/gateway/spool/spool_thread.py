"""Works on the spool's file off the event loop, one thing at a time."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from services.gateway.spool.quarantine import Quarantined
from services.gateway.spool.spool_database import is_corruption
from services.gateway.spool.spool_file import SpoolFile

CANNOT_SPOOL = (sqlite3.Error, OSError)
"""What a disk or a file that cannot be used raises."""

T = TypeVar("T")


class Observer(Protocol):
    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def spool_set_aside(self, *, path: str, missing: int) -> None: ...


class SpoolThread:
    """A file that proves to be corrupt is replaced at once, before anything else works on it."""

    def __init__(self, file: SpoolFile, observe: Observer) -> None:
        self._file = file
        self._observe = observe
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._quarantined: list[Quarantined] = []

    async def open(self) -> None:
        """Open the file. Raises one of CANNOT_SPOOL."""
        await self.run(self._open)
        self._observe.spool_opened(path=str(self._file.path), waiting=self._file.count)

    async def run(self, work: Callable[[], T]) -> T:
        """Do it and return what it returns, or raise what it raises."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._guarded, work)
        finally:
            while self._quarantined:
                kept = self._quarantined.pop()
                self._observe.spool_set_aside(path=str(kept.path), missing=kept.missing)

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
                self._quarantined.append(self._file.replace())
            raise
