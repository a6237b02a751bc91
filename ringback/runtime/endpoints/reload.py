"""Reads the endpoints file again when it, or a file of a secret, has changed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from ringback.runtime.endpoints.document import DocumentError
from ringback.runtime.endpoints.secret_sources import Files, Sources, stamps_of
from ringback.runtime.process.background import run_in_background

_LOOK_EVERY_S = 1.0

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Table(Protocol[T_contra]):
    def replace(self, found: tuple[T_contra, ...], /) -> list[str]:
        """Use these from now on. Returns the names of those added, removed or changed."""


class ReloadInstruments(Protocol):
    def endpoints_reloaded(self, changed: list[str], *, count: int) -> None: ...

    def endpoints_rejected(self, problems: list[str]) -> None: ...

    def failed(self) -> None: ...


class Reloader(Generic[T]):
    """Replaces what a table contains.

    A changed file is read when it is the same in two checks, because an editor may still be writing
    it. If it has a mistake, what the table contains stays in use.
    """

    def __init__(
        self,
        read: Callable[[Sources], tuple[T, ...]],
        table: Table[T],
        instruments: ReloadInstruments,
        *,
        look_every_s: float = _LOOK_EVERY_S,
        with_signing_secrets: bool = False,
    ) -> None:
        self._read = read
        self._table = table
        self._instruments = instruments
        self._look_every_s = look_every_s
        self._with_signing_secrets = with_signing_secrets
        self._seen: Files = {}
        """The files as they were when they were last read."""
        self._changing: Files | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        async with run_in_background(self._look_forever):
            yield

    async def _look_forever(self) -> None:
        # The file may have changed since the process read it at its start.
        await self._reload()
        while True:
            await asyncio.sleep(self._look_every_s)
            await self._look()

    async def _look(self) -> None:
        # In a thread: a disk that hangs must not stop the webhooks.
        files = await asyncio.to_thread(stamps_of, self._seen)
        if files == self._seen:
            self._changing = None
        elif files == self._changing:
            await self._reload()
        else:
            self._changing = files

    async def _reload(self) -> None:
        is_first = not self._seen
        sources = Sources(with_signing_secrets=self._with_signing_secrets)
        # Each stamp is taken before its file is read, so the next look finds a change meanwhile.
        self._seen = sources.files
        try:
            found = await asyncio.to_thread(self._read, sources)
        except DocumentError as exc:
            self._instruments.endpoints_rejected(exc.problems)
            return
        except Exception:  # ruff: ignore[blind-except]  # what the table contains stays in use
            self._instruments.failed()
            return
        if await asyncio.to_thread(stamps_of, sources.files) == sources.files:
            changed = self._table.replace(found)
            if changed or not is_first:
                self._instruments.endpoints_reloaded(changed, count=len(found))
