"""The spool on disk: an SQLite file, used by one thread at a time.

WAL with synchronous=FULL: a commit returns once the webhook is on the disk (the SQLite
documentation calls this durable). Whatever is wrong with the disk is raised as sqlite3 has it.
The file, its -wal, its -shm and its -mark belong together.
"""

import os
import sqlite3
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

from ringback.contract.envelope import Envelope
from ringback.runtime.queries import load
from services.gateway.spool.quarantine import Quarantined, move_away
from services.gateway.spool.read_after import read_after
from services.gateway.spool.spool_database import (
    PACKAGE,
    begin_line,
    connect,
    is_corruption,
    prepare,
    touch,
)
from services.gateway.spool.spool_mark import Extent, SpoolMark, read_mark
from services.gateway.spool.spool_row import Damaged, Values, Waiting, row_values


class SpoolFile:
    """`open` it before anything else. All methods block; the counts may be read by any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        """How many webhooks wait in it."""
        self.size_bytes = 0
        """The bytes of their bodies."""
        self.oldest_s: float | None = None
        """When the oldest of them was put here, in seconds since 1970."""
        self.damaged = 0
        """How many damaged rows it keeps."""
        self.is_open = False
        self._database: sqlite3.Connection | None = None
        self._mark: SpoolMark | None = None
        self._version: int | None = None
        self._first = 0

    def open(self) -> Quarantined | None:
        """Open the file, or create it. One that is damaged or lacks webhooks is replaced.

        Raises sqlite3.Error or OSError when the folder cannot be used.
        """
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        marked = read_mark(self.path)
        self._database = connect(self.path)
        try:
            prepare(self._database)
            missing = self._missing(marked)
        except sqlite3.DatabaseError as exc:
            if not is_corruption(exc):
                raise
            return self._replace(marked, missing=0)
        if missing:
            return self._replace(marked, missing=missing)
        self._begin()
        return None

    def join(self) -> None:
        """Open a file that a gateway has open, too. Nothing is replaced."""
        self._database = connect(self.path)
        prepare(self._database)
        self._begin()

    def replace(self) -> Quarantined:
        """Quarantine the file, which turned out to be damaged, and begin an empty one."""
        return self._replace(read_mark(self.path), missing=0)

    def append(self, webhooks: Iterable[tuple[Envelope, bytes]]) -> None:
        """Have all of them on the disk, or none."""
        now_s = time.time()
        rows = [row_values(envelope, body, now_s) for envelope, body in webhooks]
        with self._transaction() as connection:
            connection.executemany(load(PACKAGE, "append.sql"), rows)
        # Asked for by itself: it costs less than to look for both ends of the line.
        [last] = connection.execute(load(PACKAGE, "last_place.sql")).fetchone()
        if not self.count:
            self._first, self.oldest_s = last - len(rows) + 1, now_s
        self._add(len(rows), sum(len(row[3]) for row in rows), last)

    def bring_back(self, rows: Iterable[tuple[int, Values]]) -> int:
        """Store rows of a quarantined file, those that are here already excepted; how many."""
        count, size_bytes = 0, 0
        with self._transaction() as connection:
            for seq, values in rows:
                stored = connection.execute(load(PACKAGE, "bring_back.sql"), (seq, *values))
                if stored.rowcount == 0 and not self._has(seq, values[0]):
                    stored = connection.execute(load(PACKAGE, "append.sql"), values)
                count += stored.rowcount
                size_bytes += stored.rowcount * len(values[3])
        self._changed(count, size_bytes)
        return count

    def after(
        self, place: int, *, most: int, most_bytes: int
    ) -> tuple[list[Waiting], list[Damaged]]:
        """The oldest behind a position: one at least if there is any, else as many as both allow.

        Damaged rows on the way are set aside: only the second list returns them, and once.
        """
        found, damaged = read_after(self._connection, place, most=most, most_bytes=most_bytes)
        self._set_aside(damaged)
        return found, damaged

    def delete(self, webhooks: Sequence[Waiting]) -> None:
        """Delete those that are here; a file that was replaced meanwhile lacks them."""
        count, size_bytes = 0, 0
        with self._transaction() as connection:
            for webhook in webhooks:
                deleted = connection.execute(load(PACKAGE, "delete.sql"), (webhook.place,))
                count += deleted.rowcount
                size_bytes += deleted.rowcount * len(webhook.body)
        self._changed(-count, -size_bytes)

    def discard(self, place: int) -> bool:
        """Delete a damaged row; say whether there was one."""
        with self._transaction() as connection:
            found = connection.execute(load(PACKAGE, "discard_damaged.sql"), (place,)).rowcount
        self.damaged -= found
        return bool(found)

    def refresh(self) -> None:
        """Count again if another process has written to the file: a salvage by a person."""
        [version] = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            [row] = self._connection.execute(load(PACKAGE, "totals.sql"))
            self.count, self.size_bytes, self.damaged = row
            self._changed(0, 0)

    def try_write(self) -> None:
        """Write something, to see whether the disk takes it."""
        touch(self._connection)

    def shrink(self) -> None:
        """Give the disk back what an emptied spool took, and leave no page of an old webhook.

        Such a page would be read again when the file is salvaged.
        """
        [free_pages] = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free_pages:
            self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def free_bytes(self) -> int:
        """What the disk has left for us."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize

    def close(self) -> None:
        self.is_open = False
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._mark is not None:
            self._mark.close()
            self._mark = None
        self.count, self.size_bytes, self.oldest_s, self.damaged = 0, 0, None, 0

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise sqlite3.OperationalError("The spool is closed.")
        return self._database

    def _begin(self) -> None:
        self._mark = SpoolMark(self.path)
        self._version = None
        self.refresh()
        self.is_open = True

    def _replace(self, marked: Extent | None, *, missing: int) -> Quarantined:
        """Keep the file under another name, and begin an empty one.

        It is renamed before it is closed: closing would overwrite its -wal.
        """
        self.is_open = False
        kept = move_away(self.path)
        self.close()
        self._database = connect(self.path)
        prepare(self._database)
        begin_line(self._database, max(time.time_ns(), marked.last if marked else 0))
        self._begin()
        return Quarantined(kept, missing)

    def _missing(self, marked: Extent | None) -> int:
        """How many webhooks at most the mark knows of and the file does not."""
        last = self._extent()[2] or 0
        if marked is None or last >= marked.last:
            return 0
        return min(marked.count, marked.last - last)

    def _extent(self) -> tuple[int | None, float | None, int | None]:
        [(first, oldest_s, last)] = self._connection.execute(load(PACKAGE, "extent.sql"))
        return first, oldest_s, last

    def _changed(self, count: int, size_bytes: int) -> None:
        """Bring the counts and the mark up to date after a commit."""
        first, self.oldest_s, last = self._extent()
        self._first = first or 0
        self._add(count, size_bytes, last or 0)

    def _add(self, count: int, size_bytes: int, last: int) -> None:
        self.count += count
        self.size_bytes += size_bytes
        if self._mark is not None:
            self._mark.write(Extent(self._first, last, self.count))

    def _has(self, seq: int, job_id: object) -> bool:
        [(count,)] = self._connection.execute(load(PACKAGE, "has_job.sql"), (seq, job_id))
        return bool(count)

    def _set_aside(self, damaged: Sequence[Damaged]) -> None:
        if not damaged:
            return
        with self._transaction() as connection:
            rows = [(row.reason, row.place) for row in damaged]
            connection.executemany(load(PACKAGE, "keep_damaged.sql"), rows)
            connection.executemany(load(PACKAGE, "delete.sql"), [(row.place,) for row in damaged])
        self.damaged += len(damaged)
        self._changed(-len(damaged), -sum(row.size_bytes for row in damaged))

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection, None, None]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
