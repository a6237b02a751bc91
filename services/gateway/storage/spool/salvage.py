"""Restores the readable webhooks of quarantined spool files."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ringback.runtime.process.background import BackgroundTask
from services.gateway.storage.spool.database import SPOOL_ERRORS
from services.gateway.storage.spool.page_reader import PageReader
from services.gateway.storage.spool.quarantine import State, kept_files, mark_salvaged, read_mark
from services.gateway.storage.spool.row import Rows, SpooledWebhook, Values, read_row
from services.gateway.storage.spool.spool import Spool

_SCAN_EVERY_S = 5.0
_CHUNK_ROWS = 100
_CHUNK_BYTES = 4 * 1024 * 1024
_COLUMNS = 6
_COLUMNS_BEFORE_CHECKSUMS = 5


@dataclass(slots=True)
class Salvage:
    """Reads one file. `unreadable` is complete once all chunks were read."""

    path: Path
    _found: set[int] = field(default_factory=set)
    _damaged: set[int] = field(default_factory=set)

    @property
    def readable(self) -> int:
        return len(self._found)

    @property
    def unreadable(self) -> int:
        """Rows of which only damaged versions were found."""
        return len(self._damaged - self._found)

    def chunks(self) -> Iterator[Rows]:
        """Yield each webhook once, in chunks.

        Skips webhooks that the mark shows as published. Without a mark a published webhook may be
        published again, under the same job id.
        """
        marked = read_mark(self.path)
        first = marked.first if marked else 0
        chunk: Rows = []
        size_bytes = 0
        with PageReader(self.path) as reader:
            for seq, columns in reader.rows():
                values = _values(columns)
                if values is None or seq in self._found or seq < first:
                    continue
                row = read_row(seq, values)
                if not isinstance(row, SpooledWebhook):
                    self._damaged.add(seq)
                    continue
                self._found.add(seq)
                chunk.append((seq, _as_written(values)))
                size_bytes += len(row.body)
                if len(chunk) >= _CHUNK_ROWS or size_bytes >= _CHUNK_BYTES:
                    yield chunk
                    chunk, size_bytes = [], 0
        if chunk:
            yield chunk


def _values(columns: tuple[object, ...]) -> Values | None:
    """The values of a row of the current layout or the last one; None for other tables."""
    if len(columns) == _COLUMNS_BEFORE_CHECKSUMS:
        return (*columns, None)
    return columns if len(columns) == _COLUMNS else None


def _as_written(values: Values) -> Values:
    """Decode the text columns of a row that was checked."""
    job_id, event_type, headers, *others = values
    return (job_id.decode(), event_type.decode(), headers.decode(), *others)


class Instruments(Protocol):
    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...
    def failed(self) -> None: ...


class Salvager(BackgroundTask):
    """Runs while entered, beside the live webhooks.

    A file that was read completely is renamed, so that it is salvaged once. Failures are retried;
    a webhook that is restored twice is processed once.
    """

    def __init__(self, spool: Spool, instruments: Instruments) -> None:
        self._spool = spool
        self._instruments = instruments
        self.kept = 0
        """How many replaced files there are."""

    async def _run(self) -> None:
        while True:
            try:
                await self._scan()
            except SPOOL_ERRORS as exc:
                self._instruments.spool_failed(exc)
            except Exception:  # ruff: ignore[blind-except]  # a bug must not end the loop
                self._instruments.failed()
            await asyncio.sleep(_SCAN_EVERY_S)

    async def _scan(self) -> None:
        await self._spool.refresh()
        kept = await asyncio.to_thread(kept_files, self._spool.path)
        self.kept = len(kept)
        for file in kept:
            if file.state is State.QUARANTINED:
                await self._salvage(file.path)

    async def _salvage(self, path: Path) -> None:
        salvage = Salvage(path)
        chunks = salvage.chunks()
        count = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            count += await self._spool.restore(chunk)
        done = await asyncio.to_thread(mark_salvaged, path)
        self._instruments.spool_salvaged(path=str(done), count=count, unreadable=salvage.unreadable)
