"""The spool on disk: an SQLite file, used by one thread at a time.

WAL with synchronous=FULL: a commit returns once the webhook is on the disk (the SQLite
documentation calls this durable). Whatever is wrong with the disk is raised as sqlite3 has it.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringback.contract.envelope import Envelope, NotOurs, open_envelope
from ringback.runtime.queries import load

_PACKAGE = "services.gateway.spool"
_BESIDE = ("", "-wal", "-shm")
_LARGEST_IDLE_FILE_BYTES = 16 * 1024 * 1024
_READ_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Waiting:
    """One webhook of the spool. `envelope` is NotOurs only if the file was tampered with."""

    place: int
    envelope: Envelope | NotOurs
    body: bytes


@dataclass(frozen=True, slots=True)
class Totals:
    count: int
    size_bytes: int


class SpoolFile:
    """`open` it before anything else. Everything here blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None

    def open(self) -> Path | None:
        """Open the file, or begin it. One that is corrupt is set aside; returns where to.

        Raises sqlite3.Error or OSError when the place cannot be used.
        """
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _opened(self.path)
        except sqlite3.DatabaseError as exc:
            if not is_corruption(exc):
                raise
        else:
            return None
        return self.begin_anew()

    def begin_anew(self) -> Path:
        """Keep the file under another name for a person to look at, and begin an empty one."""
        self.close()
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}")
        for suffix in _BESIDE:
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self._database = _opened(self.path)
        return aside

    def append(self, webhooks: Iterable[tuple[Envelope, bytes]]) -> None:
        """Have all of them on the disk, or none."""
        now_s = time.time()
        rows = [
            (
                str(envelope.job_id),
                envelope.event_type,
                json.dumps(envelope.headers()),
                body,
                now_s,
            )
            for envelope, body in webhooks
        ]
        self._write_all("append.sql", rows)

    def after(self, place: int, *, most: int, most_bytes: int) -> list[Waiting]:
        """The oldest behind a place: one at least if there is any, else as many as both allow."""
        found: list[Waiting] = []
        size_bytes = 0
        cursor = self._connection.execute(
            load(_PACKAGE, "after.sql"), (place, min(most, _READ_AT_ONCE))
        )
        for seq, job_id, event_type, headers, body in cursor:
            size_bytes += len(body)
            if found and size_bytes > most_bytes:
                break
            envelope = open_envelope(
                message_id=job_id, event_type=event_type, headers=json.loads(headers)
            )
            found.append(Waiting(seq, envelope, body))
        cursor.close()
        return found

    def delete(self, places: Sequence[int]) -> None:
        self._write_all("delete.sql", [(place,) for place in places])

    def totals(self) -> Totals:
        [row] = self._connection.execute(load(_PACKAGE, "totals.sql"))
        return Totals(*row)

    def oldest_s(self) -> float | None:
        """When the oldest webhook was put here, in seconds since 1970."""
        for (spooled_at_s,) in self._connection.execute(load(_PACKAGE, "oldest_time.sql")):
            return float(spooled_at_s)
        return None

    def shrink(self) -> None:
        """Give the disk back what an emptied spool took."""
        if self.path.stat().st_size > _LARGEST_IDLE_FILE_BYTES:
            self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def free_bytes(self) -> int:
        """What the disk has left for us."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.OperationalError("The spool is closed.")
        return self._database

    def _write_all(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(load(_PACKAGE, statement), rows)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether it says that the file is damaged, not that the disk is full or away."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_full(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_FULL


def _opened(path: Path) -> sqlite3.Connection:
    # It holds webhooks as they arrived, with the credentials in them: for our user alone. What
    # SQLite puts beside it has the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=FULL")
        _check(connection)
        connection.execute(load(_PACKAGE, "schema.sql"))
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Read the whole file. Raises a DatabaseError that `is_corruption` if it is damaged."""
    [verdict] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
