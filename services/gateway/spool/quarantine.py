"""The spool files that are kept for a person, and how they are named.

`<spool>.quarantined-<time>` waits to be salvaged; `<spool>.salvaged-<time>` was, as far as it can
be read; `<spool>.corrupt-<time>` was left by a version that salvaged nothing.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.gateway.spool.spool_mark import SUFFIX as MARK

PARTS = ("-wal", "-shm", MARK, "")
"""What belongs to one spool file. The file comes last: without a -wal beside it nothing is read
into the file that takes its place."""


class State(StrEnum):
    QUARANTINED = "quarantined"
    SALVAGED = "salvaged"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that was replaced by an empty one. It lacks up to `missing` acknowledged webhooks."""

    path: Path
    missing: int


@dataclass(frozen=True, slots=True)
class KeptFile:
    path: Path
    state: State

    @property
    def size_bytes(self) -> int:
        return sum(part.stat().st_size for part in parts_of(self.path))


def parts_of(path: Path) -> list[Path]:
    """The files that are there of a spool file, -wal and -shm and -mark first."""
    parts = [path.with_name(path.name + suffix) for suffix in PARTS]
    return [part for part in parts if part.exists()]


def move_away(path: Path) -> Path:
    """Put a spool file and all that belongs to it under a name of its own; return that."""
    kept = path.with_name(f"{path.name}.{State.QUARANTINED}-{time.time_ns()}")
    _rename(path, kept)
    return kept


def mark_salvaged(path: Path) -> Path:
    stem, _, moment = path.name.rpartition("-")
    done = path.with_name(f"{stem.rpartition('.')[0]}.{State.SALVAGED}-{moment}")
    _rename(path, done)
    return done


def remove(path: Path) -> None:
    for part in parts_of(path):
        part.unlink(missing_ok=True)


def kept_files(spool: Path) -> list[KeptFile]:
    """All that are kept of this spool, in the order in which they were replaced."""
    found = {}
    for state in State:
        for part in spool.parent.glob(f"{spool.name}.{state}-*"):
            stem = part.name.removesuffix("-wal").removesuffix("-shm").removesuffix(MARK)
            found[stem] = KeptFile(part.with_name(stem), state)
    return sorted(found.values(), key=lambda kept: kept.path.name.rpartition("-")[2])


def _rename(path: Path, to: Path) -> None:
    for part in parts_of(path):
        # A person and a gateway may do this at once.
        with suppress(FileNotFoundError):
            part.rename(to.with_name(to.name + part.name.removeprefix(path.name)))
