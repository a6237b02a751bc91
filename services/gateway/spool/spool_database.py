"""The SQLite side of the spool: how its file is opened, and what SQLite's errors mean."""

import os
import sqlite3
from pathlib import Path

from ringback.runtime.queries import load

PACKAGE = "services.gateway.spool"

_VERSION = 1
"""Of the file's layout, in SQLite's user_version. 0 has neither checksums nor damaged rows."""

_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG}


def connect(path: Path) -> sqlite3.Connection:
    """Open a file, or create it. Texts are read as bytes, because damaged ones are not UTF-8."""
    # It holds webhooks as they arrived, with the credentials in them: for our user alone. What
    # SQLite puts beside it has the same mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Check the whole file, and bring its layout up to date.

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
        _upgrade(connection)


def touch(connection: sqlite3.Connection) -> None:
    """Commit a change that changes nothing."""
    connection.execute(f"PRAGMA user_version={_VERSION}")


def begin_line(connection: sqlite3.Connection, last: int) -> None:
    """Give positions behind this one from now on."""
    connection.execute(load(PACKAGE, "begin_line.sql"), (last,))


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether it says that the file is damaged, not that the disk is full or away."""
    return _code(error) in _UNUSABLE


def is_full(error: sqlite3.Error) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _upgrade(connection: sqlite3.Connection) -> None:
    """Make the tables, or add what version 0 lacks. Version 0 can still read and write the file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(load(PACKAGE, "spooled.sql"))
        columns = {name for (name,) in connection.execute(load(PACKAGE, "columns.sql"))}
        if b"checksum" not in columns:
            connection.execute(load(PACKAGE, "add_checksum.sql"))
        connection.execute(load(PACKAGE, "damaged.sql"))
        touch(connection)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
