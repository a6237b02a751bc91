"""Opens the spool's SQLite file, locks its folder and classifies SQLite's errors."""

import fcntl
import os
import sqlite3
from pathlib import Path

from ringback.runtime.postgres.queries import load

PACKAGE = "ringback.services.gateway.storage.spool"

_VERSION = 1
"""Layout version of the file (user_version); 0 is a new file."""

SPOOL_ERRORS = (sqlite3.Error, OSError)
"""Raised when the disk or the file cannot be used."""

_CORRUPTION_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG}


def connect(path: Path) -> sqlite3.Connection:
    """Open or create a file. Text is read as bytes, because damaged text may not be UTF-8."""
    # The file contains webhooks as they arrived, with credentials: only our user may read it.
    # SQLite gives the same mode to the files beside it.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Check the whole file, and create its tables if it is new.

    Raises a DatabaseError that `is_corruption` if the file is damaged.
    """
    connection.execute("PRAGMA journal_mode=WAL").close()
    connection.execute("PRAGMA synchronous=FULL")
    [verdict] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        error = sqlite3.DatabaseError(verdict.decode(errors="replace"))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version < _VERSION:
        _create_tables(connection)


def touch(connection: sqlite3.Connection) -> None:
    """Commit a write that changes nothing."""
    connection.execute(f"PRAGMA user_version={_VERSION}")


def continue_sequence(connection: sqlite3.Connection, last: int) -> None:
    """Assign sequence numbers after this one from now on."""
    connection.execute(load(PACKAGE, "continue_sequence.sql"), (last,))


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether the file is damaged, as opposed to a full or missing disk."""
    return _code(error) in _CORRUPTION_CODES


def is_full(error: sqlite3.Error) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(load(PACKAGE, "spooled.sql"))
        connection.execute(load(PACKAGE, "damaged.sql"))
        touch(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


class FolderInUseError(Exception):
    """Another process has the lock."""


class FolderLock:
    """Reserves a folder for one process. The lock ends with the process, however that ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises FolderInUseError, or OSError when the folder cannot be written to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            if isinstance(exc, BlockingIOError):
                raise FolderInUseError from exc
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
