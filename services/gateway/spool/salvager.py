"""Brings back what can be read of quarantined files, and watches what is kept for a person."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ringback.runtime.ending import end
from services.gateway.spool.quarantine import State, kept_files, mark_salvaged
from services.gateway.spool.salvage import Chunk, Salvage
from services.gateway.spool.spool_thread import CANNOT_SPOOL

_LOOK_EVERY_S = 5.0


class Spool(Protocol):
    async def refresh(self) -> None: ...

    async def bring_back(self, rows: Chunk) -> int: ...


class Observer(Protocol):
    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...
    def failed(self) -> None: ...


class Salvager:
    """Works while it is entered, beside the webhooks that come meanwhile.

    A file that was read to its end gets another name, so that this is done once. Where it cannot be
    done now it is tried again; a webhook that is brought back twice is processed once.
    """

    def __init__(self, spool: Spool, path: Path, observe: Observer) -> None:
        self._spool = spool
        self._path = path
        self._observe = observe
        self._task: asyncio.Task[None] | None = None
        self.kept = 0
        """How many files are kept for a person."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_looking())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        await end(self._task)

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
            except CANNOT_SPOOL as exc:
                self._observe.spool_failed(exc)
            except Exception:  # ruff: ignore[blind-except]  # a bug may delay a salvage, not end it
                self._observe.failed()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _look(self) -> None:
        await self._spool.refresh()
        kept = await asyncio.to_thread(kept_files, self._path)
        self.kept = len(kept)
        for file in kept:
            if file.state is State.QUARANTINED:
                await self._salvage(file.path)

    async def _salvage(self, path: Path) -> None:
        salvage = Salvage(path)
        chunks = salvage.chunks()
        count = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            count += await self._spool.bring_back(chunk)
        done = await asyncio.to_thread(mark_salvaged, path)
        self._observe.spool_salvaged(path=str(done), count=count, unreadable=salvage.unreadable)
