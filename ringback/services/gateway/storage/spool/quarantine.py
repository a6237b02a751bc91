"""The files beside the spool: its mark, and damaged files that were replaced.

`<spool>.quarantined-<time>` waits to be salvaged. In `<spool>.salvaged-<time>` everything
readable was salvaged.

The mark detects lost webhooks: SQLite opens a file whose -wal was lost or cut without an error, but
the newest webhooks are missing. The mark is one small write after each commit, without a flush of
its own. After a power cut it may be some seconds old, and a loss of just these seconds is not
detected. It is never ahead of a commit.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_MARK = "-mark"


@dataclass(frozen=True, slots=True)
class Extent:
    """First and last sequence numbers, from 1 on; they mean nothing if `count` is 0."""

    first: int
    last: int
    count: int


def read_mark(path: Path) -> Extent | None:
    """Read the mark of a spool file; None if it is missing or unreadable."""
    try:
        first, last, count = map(int, path.with_name(path.name + _MARK).read_text().split())
    except (OSError, ValueError):
        return None
    return Extent(first, last, count)


class SpoolMark:
    """Writes the mark after a commit. Write errors are ignored, because the commit succeeded."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path.with_name(path.name + _MARK), os.O_CREAT | os.O_WRONLY, 0o600
        )

    def write(self, extent: Extent) -> None:
        line = b"%020d %020d %020d\n" % (extent.first, extent.last, extent.count)
        with suppress(OSError):
            os.pwrite(self._descriptor, line, 0)

    def close(self) -> None:
        with suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)


_SUFFIXES = ("-wal", "-shm", _MARK, "")
"""The parts of one spool file. The file itself comes last, so that its -wal is never left behind
for the file that replaces it."""


class State(StrEnum):
    QUARANTINED = "quarantined"
    SALVAGED = "salvaged"


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """A file that was replaced by an empty one; up to `missing` webhooks are not in it."""

    path: Path
    missing: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A replaced file, until someone discards it."""

    path: Path
    state: State

    @property
    def size_bytes(self) -> int:
        return sum(part.stat().st_size for part in existing_parts(self.path))


def existing_parts(path: Path) -> list[Path]:
    """The existing parts of a spool file, the file itself last."""
    parts = [path.with_name(path.name + suffix) for suffix in _SUFFIXES]
    return [part for part in parts if part.exists()]


def rename_to_quarantined(path: Path) -> Path:
    """Rename a spool file with all its parts; return its new name."""
    kept = path.with_name(f"{path.name}.{State.QUARANTINED}-{time.time_ns()}")
    _rename(path, kept)
    return kept


def mark_salvaged(path: Path) -> Path:
    stem, _, moment = path.name.rpartition("-")
    done = path.with_name(f"{stem.rpartition('.')[0]}.{State.SALVAGED}-{moment}")
    _rename(path, done)
    return done


def remove(path: Path) -> None:
    for part in existing_parts(path):
        part.unlink(missing_ok=True)


def kept_files(spool: Path) -> list[KeptFile]:
    """All kept files of this spool, in the order in which they were replaced."""
    found = {}
    for state in State:
        for part in spool.parent.glob(f"{spool.name}.{state}-*"):
            stem = part.name.removesuffix("-wal").removesuffix("-shm").removesuffix(_MARK)
            found[stem] = KeptFile(part.with_name(stem), state)
    return sorted(found.values(), key=lambda kept: kept.path.name.rpartition("-")[2])


def _rename(path: Path, to: Path) -> None:
    for part in existing_parts(path):
        # The gateway and `ringback spool` may do this at the same time.
        with suppress(FileNotFoundError):
            part.rename(to.with_name(to.name + part.name.removeprefix(path.name)))
