"""Remembers beside the spool's file what that file must hold.

A lost or cut -wal leaves a file that SQLite finds in order and that lacks the newest webhooks. The
mark is one small write after each commit, without a flush of its own: after a power cut it may be
some seconds old, and then a loss of just these seconds is not seen. It is never ahead of a commit.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "-mark"


@dataclass(frozen=True, slots=True)
class Extent:
    """Positions in the line, from 1 on; `first` and `last` say nothing where `count` is 0."""

    first: int
    last: int
    count: int


def read_mark(path: Path) -> Extent | None:
    """Read the mark of a spool file; None if there is none that can be read."""
    try:
        first, last, count = map(int, path.with_name(path.name + SUFFIX).read_text().split())
    except (OSError, ValueError):
        return None
    return Extent(first, last, count)


class SpoolMark:
    """Written while the spool is open. A disk that refuses it stops nothing: the commit counts."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path.with_name(path.name + SUFFIX), os.O_CREAT | os.O_WRONLY, 0o600
        )

    def write(self, extent: Extent) -> None:
        line = b"%020d %020d %020d\n" % (extent.first, extent.last, extent.count)
        with suppress(OSError):
            os.pwrite(self._descriptor, line, 0)

    def close(self) -> None:
        with suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)
