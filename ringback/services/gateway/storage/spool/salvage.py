"""Restores the readable webhooks of quarantined spool files.

SQLite gives up if the first page or an inner page is damaged. `PageReader` reads each page of the
file, and each frame of its -wal, on its own, and follows long rows through their overflow pages.
Rows may be outdated or damaged: each row is checked.
https://www.sqlite.org/fileformat2.html describes the layout.
"""

import asyncio
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.background import BackgroundTask
from ringback.services.gateway.storage.spool.database import SPOOL_ERRORS
from ringback.services.gateway.storage.spool.file import Rows, SpooledWebhook, Values, read_row
from ringback.services.gateway.storage.spool.quarantine import (
    State,
    kept_files,
    mark_salvaged,
    read_mark,
)
from ringback.services.gateway.storage.spool.spool import Spool

Cell = tuple[int, tuple[Any, ...]]
"""A row's sequence number and its other columns."""

_DEFAULT_PAGE_BYTES = 4096
_PAGE_SIZES = {2**power for power in range(9, 17)}
_FILE_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_TABLE_LEAF = 0x0D
_U16 = struct.Struct(">H").unpack_from
_U32 = struct.Struct(">I").unpack_from
_FLOAT = struct.Struct(">d").unpack
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_REAL, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12
"""Kinds of columns. 10 and 11 are reserved, and appear only in damaged rows."""


class PageReader:
    """Keeps the file and its -wal open while entered. A missing file has no rows."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}-wal"))
        self._files: list[int | None] = []
        self._page_bytes = _DEFAULT_PAGE_BYTES
        self._newest: dict[int, int] = {}
        """Offset of the newest frame of each page in the -wal."""

    def __enter__(self) -> Self:
        self._files = [_opened(path) for path in self._paths]
        # 65536 does not fit into two bytes and is written as 1.
        size = int.from_bytes(self._read(0, 16, 2), "big")
        size = 65536 if size == 1 else size
        self._page_bytes = size if size in _PAGE_SIZES else _DEFAULT_PAGE_BYTES
        for offset in self._frames():
            # 0, which is the number of no page, if the frame cannot be read.
            page = int.from_bytes(self._read(1, offset, 4), "big")
            self._newest[page] = offset + _FRAME_HEADER_BYTES
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            if file is not None:
                os.close(file)

    def rows(self) -> Iterator[Cell]:
        """Yield every row of every page; a row may be on several pages.

        Pages of the -wal come first, because they are newer.
        """
        for offset in self._frames():
            yield from self._cells(self._read(1, offset + _FRAME_HEADER_BYTES, self._page_bytes), 0)
        for offset in range(0, self._size(0), self._page_bytes):
            start = _FILE_HEADER_BYTES if offset == 0 else 0
            yield from self._cells(self._read(0, offset, self._page_bytes), start)

    def _frames(self) -> range:
        step = _FRAME_HEADER_BYTES + self._page_bytes
        return range(_WAL_HEADER_BYTES, self._size(1) - step + 1, step)

    def _cells(self, page: bytes, start: int) -> Iterator[Cell]:
        if len(page) < self._page_bytes or page[start] != _TABLE_LEAF:
            return
        [count] = _U16(page, start + 3)
        for number in range(min(count, self._page_bytes // 4)):
            try:
                [offset] = _U16(page, start + 8 + 2 * number)
                size, position = _varint(page, offset)
                seq, position = _varint(page, position)
                yield seq, _record(self._payload(page, position, size))
            except (LookupError, ValueError, struct.error):
                # This row is damaged or unknown; the next one may be fine.
                continue

    def _payload(self, page: bytes, position: int, size: int) -> bytes:
        """Assemble a row from its part on this page and its overflow pages."""
        usable = self._page_bytes
        if size > self._size(0) + self._size(1):
            raise ValueError("longer than the file")
        if size <= usable - 35:
            return page[position : position + size]
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        if local > usable - 35:
            local = least
        parts = [page[position : position + local]]
        [following] = _U32(page, position + local)
        for _ in range((size - local + usable - 5) // (usable - 4)):
            overflow = self._page(following)
            [following] = _U32(overflow)
            parts.append(overflow[4:])
        return b"".join(parts)[:size]

    def _page(self, number: int) -> bytes:
        """Read the newest version of a page."""
        if number in self._newest:
            return self._read(1, self._newest[number], self._page_bytes)
        return self._read(0, (number - 1) * self._page_bytes, self._page_bytes)

    def _size(self, file: int) -> int:
        descriptor = self._files[file]
        return os.fstat(descriptor).st_size if descriptor is not None else 0

    def _read(self, file: int, offset: int, count: int) -> bytes:
        """Read what exists; empty on a disk error."""
        descriptor = self._files[file]
        if descriptor is None or offset < 0:
            return b""
        try:
            return os.pread(descriptor, count, offset)
        except OSError:
            return b""


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[position]
        position += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position
    return value << 8 | data[position], position + 1


def _record(payload: bytes) -> tuple[Any, ...]:
    """Decode the columns except the first one, the row's number, which is not stored."""
    head_bytes, position = _varint(payload, 0)
    kinds = []
    while position < head_bytes:
        kind, position = _varint(payload, position)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, position = _value(payload, position, kind)
        values.append(value)
    return tuple(values[1:])


def _value(payload: bytes, position: int, kind: int) -> tuple[Any, int]:
    if kind in {0, _ZERO, _ONE}:
        return (None, 0, 1)[max(0, kind - _REAL)], position
    if kind >= _FIRST_BLOB:
        count = (kind - _FIRST_BLOB) // 2
    else:
        count = 8 if kind == _REAL else _INTEGER_BYTES[kind]
    raw = payload[position : position + count]
    if len(raw) < count:
        raise ValueError("truncated")
    if kind >= _FIRST_BLOB:
        return raw, position + count
    if kind == _REAL:
        return _FLOAT(raw)[0], position + count
    return int.from_bytes(raw, "big", signed=True), position + count


_SCAN_EVERY_S = 5.0
_CHUNK_ROWS = 100
_CHUNK_BYTES = 4 * 1024 * 1024
_COLUMNS = 6


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
            for seq, values in reader.rows():
                # Rows of the other tables have more or fewer columns.
                if len(values) != _COLUMNS or seq in self._found or seq < first:
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


def _as_written(values: Values) -> Values:
    """Decode the text columns of a row that was checked."""
    job_id, event_type, headers, *others = values
    return (job_id.decode(), event_type.decode(), headers.decode(), *others)


class Instruments(Protocol):
    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None: ...
    def spool_failed(self, error: BaseException) -> None: ...


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
            await asyncio.sleep(_SCAN_EVERY_S)

    async def _try_to_salvage(self, path: Path) -> None:
        """One file that cannot be read must not delay the others."""
        try:
            await self._salvage(path)
        except SPOOL_ERRORS as exc:
            self._instruments.spool_failed(exc)
        except Exception:  # ruff: ignore[blind-except]  # any bug
            structlog.get_logger().exception(LogEvent.GATEWAY_FAILED)

    async def _scan(self) -> None:
        await self._spool.refresh()
        kept = await asyncio.to_thread(kept_files, self._spool.path)
        self.kept = len(kept)
        for file in kept:
            if file.state is State.QUARANTINED:
                await self._try_to_salvage(file.path)

    async def _salvage(self, path: Path) -> None:
        salvage = Salvage(path)
        chunks = salvage.chunks()
        count = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            count += await self._spool.restore(chunk)
        done = await asyncio.to_thread(mark_salvaged, path)
        self._instruments.spool_salvaged(path=str(done), count=count, unreadable=salvage.unreadable)
