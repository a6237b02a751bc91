"""The spool on disk: an SQLite file, used by one thread at a time.

With WAL and synchronous=FULL a commit returns once the webhook is on the disk (durable, in the
words of the SQLite documentation). Disk errors are raised as sqlite3 raises them. The file, its
-wal, its -shm and its -mark belong together.
"""

import os
import sqlite3
import struct
import time
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from ringback.contract.envelope import Envelope, InvalidEnvelope, open_envelope
from ringback.contract.event import MAX_TYPE_BYTES
from ringback.runtime.postgres.queries import load
from ringback.services.gateway.storage.spool.database import (
    PACKAGE,
    connect,
    continue_sequence,
    is_corruption,
    prepare,
    touch,
)
from ringback.services.gateway.storage.spool.quarantine import (
    Extent,
    QuarantinedFile,
    SpoolMark,
    read_mark,
    rename_to_quarantined,
)

Values: TypeAlias = tuple[Any, ...]
"""job_id, event_type, headers, body, spooled_at_s, checksum; text columns are read as bytes."""

Rows: TypeAlias = list[tuple[int, Values]]
"""Sequence numbers with the values to write."""

_TIME = struct.Struct(">d").pack


@dataclass(frozen=True, slots=True)
class SpooledWebhook:
    """A webhook in the spool; they are published in order of `sequence`."""

    sequence: int
    envelope: Envelope
    body: bytes


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that differs from what was written, and why."""

    sequence: int
    reason: str
    size_bytes: int


def row_values(envelope: Envelope, body: bytes, spooled_at_s: float) -> Values:
    job_id, headers = str(envelope.job_id), orjson.dumps(envelope.headers())
    checksum = _checksum(job_id.encode(), envelope.event_type.encode(), headers, body, spooled_at_s)
    return job_id, envelope.event_type, headers.decode(), body, spooled_at_s, checksum


def read_row(sequence: int, values: Values) -> SpooledWebhook | DamagedRow:
    """Check and decode a row. Raises nothing, whatever the row contains."""
    body = values[3]
    try:
        return SpooledWebhook(sequence, _envelope(values), body)
    except (ValueError, TypeError, struct.error, RecursionError) as exc:
        # Do not quote damaged text: it may be part of a webhook.
        reason = str(exc) if type(exc) is ValueError else "It cannot be decoded."
        return DamagedRow(sequence, reason, len(body) if isinstance(body, bytes) else 0)


def _envelope(values: Values) -> Envelope:
    job_id, event_type, headers, body, spooled_at_s, checksum = values
    if _checksum(job_id, event_type, headers, body, spooled_at_s) != checksum:
        raise ValueError("Its checksum does not match.")
    if len(event_type) > MAX_TYPE_BYTES:
        raise ValueError("Its event type is too long.")
    fields = orjson.loads(headers)
    if not isinstance(fields, Mapping):
        raise ValueError("Its headers are not an object.")  # ruff: ignore[type-check-without-type-error]
    envelope = open_envelope(
        message_id=job_id.decode(), event_type=event_type.decode(), headers=fields
    )
    if isinstance(envelope, InvalidEnvelope):
        raise ValueError(envelope.reason)  # ruff: ignore[type-check-without-type-error]
    return envelope


def _checksum(
    job_id: bytes, event_type: bytes, headers: bytes, body: bytes, spooled_at_s: float
) -> int:
    head = b"\0".join((job_id, event_type, headers, _TIME(spooled_at_s)))
    return zlib.crc32(body, zlib.crc32(head))


FILE_NAME = "spool.sqlite3"

_MAX_ROWS_PER_READ = 256


class SpoolFile:
    """Call `open` first. All methods block; any thread may read the counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        """How many webhooks are waiting."""
        self.size_bytes = 0
        """The total size of their bodies."""
        self.oldest_s: float | None = None
        """When the oldest of them was stored, in seconds since 1970."""
        self.damaged = 0
        """How many damaged rows are kept."""
        self.is_open = False
        self._database: sqlite3.Connection | None = None
        self._mark: SpoolMark | None = None
        self._version: int | None = None
        self._first = 0

    def open(self) -> QuarantinedFile | None:
        """Open or create the file. Replace it if it is damaged, or if webhooks are missing in it.

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

    def open_shared(self) -> None:
        """Open a file that a gateway is using. Never replaces it."""
        self._database = connect(self.path)
        prepare(self._database)
        self._begin()

    def quarantine_file(self) -> QuarantinedFile:
        """Quarantine a file that proved to be damaged, and start an empty one."""
        return self._replace(read_mark(self.path), missing=0)

    def append(self, webhooks: Iterable[tuple[Envelope, bytes]]) -> None:
        """Write all of them to the disk, or none."""
        now_s = time.time()
        rows = [row_values(envelope, body, now_s) for envelope, body in webhooks]
        with self._transaction() as connection:
            connection.executemany(load(PACKAGE, "append.sql"), rows)
        # A separate query is cheaper than querying the whole extent.
        [last] = connection.execute(load(PACKAGE, "last_sequence.sql")).fetchone()
        if not self.count:
            self._first, self.oldest_s = last - len(rows) + 1, now_s
        self._add(len(rows), sum(len(row[3]) for row in rows), last)

    def restore(self, rows: Iterable[tuple[int, Values]]) -> int:
        """Store rows of a quarantined file, except those already here; return how many."""
        count, size_bytes = 0, 0
        with self._transaction() as connection:
            for seq, values in rows:
                stored = connection.execute(load(PACKAGE, "restore.sql"), (seq, *values))
                if stored.rowcount == 0 and not self._has(seq, values[0]):
                    stored = connection.execute(load(PACKAGE, "append.sql"), values)
                count += stored.rowcount
                size_bytes += stored.rowcount * len(values[3])
        self._changed(count, size_bytes)
        return count

    def read_after(
        self, sequence: int, *, max_count: int, max_bytes: int
    ) -> tuple[list[SpooledWebhook], list[DamagedRow]]:
        """Read the oldest webhooks after a sequence number, as many as both limits allow.

        Returns at least one if there is any. Damaged rows on the way are quarantined and returned
        once, in the second list.
        """
        found: list[SpooledWebhook] = []
        damaged: list[DamagedRow] = []
        position, size_bytes, is_more = sequence, 0, True
        while is_more and not found:
            is_more = False
            cursor = self._connection.execute(
                load(PACKAGE, "read_after.sql"), (position, min(max_count, _MAX_ROWS_PER_READ))
            )
            for position, *values in cursor:
                is_more = True
                row = read_row(position, tuple(values))
                if isinstance(row, DamagedRow):
                    damaged.append(row)
                    continue
                size_bytes += len(row.body)
                if found and size_bytes > max_bytes:
                    break
                found.append(row)
            cursor.close()
        self._quarantine_rows(damaged)
        return found, damaged

    def delete(self, webhooks: Sequence[SpooledWebhook]) -> None:
        """Delete webhooks; ignores those of a file that was replaced meanwhile."""
        count, size_bytes = 0, 0
        with self._transaction() as connection:
            for webhook in webhooks:
                deleted = connection.execute(load(PACKAGE, "delete.sql"), (webhook.sequence,))
                count += deleted.rowcount
                size_bytes += deleted.rowcount * len(webhook.body)
        self._changed(-count, -size_bytes)

    def discard(self, sequence: int) -> bool:
        """Delete a damaged row; return whether it existed."""
        with self._transaction() as connection:
            found = connection.execute(load(PACKAGE, "discard_damaged.sql"), (sequence,)).rowcount
        self.damaged -= found
        return bool(found)

    def refresh(self) -> None:
        """Count again if another process, such as `ringback spool salvage`, wrote to the file."""
        [version] = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            [row] = self._connection.execute(load(PACKAGE, "totals.sql"))
            self.count, self.size_bytes, self.damaged = row
            self._changed(0, 0)

    def try_write(self) -> None:
        """Check that the disk is writable."""
        touch(self._connection)

    def shrink(self) -> None:
        """Free the disk space of an empty spool, and erase the pages of old webhooks.

        A later salvage would read such pages again.
        """
        [free_pages] = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free_pages:
            self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def free_bytes(self) -> int:
        """Free space on the disk."""
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

    def _replace(self, marked: Extent | None, *, missing: int) -> QuarantinedFile:
        """Keep the file under another name, and start an empty one.

        It is renamed before it is closed, because closing would overwrite its -wal.
        """
        self.is_open = False
        kept = rename_to_quarantined(self.path)
        self.close()
        self._database = connect(self.path)
        prepare(self._database)
        continue_sequence(self._database, max(time.time_ns(), marked.last if marked else 0))
        self._begin()
        return QuarantinedFile(kept, missing)

    def _missing(self, marked: Extent | None) -> int:
        """The maximum number of webhooks that the mark shows and the file does not contain."""
        last = self._extent()[2] or 0
        if marked is None or last >= marked.last:
            return 0
        return min(marked.count, marked.last - last)

    def _extent(self) -> tuple[int | None, float | None, int | None]:
        [(first, oldest_s, last)] = self._connection.execute(load(PACKAGE, "extent.sql"))
        return first, oldest_s, last

    def _changed(self, count: int, size_bytes: int) -> None:
        """Update the counts and the mark after a commit."""
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

    def _quarantine_rows(self, damaged: Sequence[DamagedRow]) -> None:
        if not damaged:
            return
        with self._transaction() as connection:
            rows = [(row.reason, row.sequence) for row in damaged]
            connection.executemany(load(PACKAGE, "quarantine_row.sql"), rows)
            connection.executemany(
                load(PACKAGE, "delete.sql"), [(row.sequence,) for row in damaged]
            )
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
