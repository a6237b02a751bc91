"""Finds what can still be published in a spool file that is kept for a person."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from services.gateway.spool.page_reader import PageReader
from services.gateway.spool.spool_mark import read_mark
from services.gateway.spool.spool_row import Values, Waiting, read_row

_CHUNK_ROWS = 100
_CHUNK_BYTES = 4 * 1024 * 1024
_COLUMNS = 6
_COLUMNS_BEFORE_CHECKSUMS = 5

Chunk = list[tuple[int, Values]]


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
        """Rows of which something was found, but no whole and undamaged version."""
        return len(self._damaged - self._found)

    def chunks(self) -> Iterator[Chunk]:
        """Give each webhook once, some at a time.

        What the mark says was published long ago is left out. Without a mark a webhook that was
        published may come again, under the same job id.
        """
        marked = read_mark(self.path)
        first = marked.first if marked else 0
        chunk: Chunk = []
        size_bytes = 0
        with PageReader(self.path) as reader:
            for seq, columns in reader.rows():
                values = _values(columns)
                if values is None or seq in self._found or seq < first:
                    continue
                row = read_row(seq, values)
                if not isinstance(row, Waiting):
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
    """Take a row of the spool's table, of this version's or the last one's; None for any other."""
    if len(columns) == _COLUMNS_BEFORE_CHECKSUMS:
        return (*columns, None)
    return columns if len(columns) == _COLUMNS else None


def _as_written(values: Values) -> Values:
    """Texts as texts; of a row that was checked."""
    job_id, event_type, headers, *others = values
    return (job_id.decode(), event_type.decode(), headers.decode(), *others)
