import sqlite3

from ringback.runtime.queries import load
from services.gateway.spool.spool_database import PACKAGE
from services.gateway.spool.spool_row import Damaged, Waiting, read_row

_READ_AT_ONCE = 256


def read_after(
    connection: sqlite3.Connection, place: int, *, most: int, most_bytes: int
) -> tuple[list[Waiting], list[Damaged]]:
    """Read the oldest webhooks behind a position, and the damaged rows before and between them.

    One webhook at least if there is any, else as many as both bounds allow.
    """
    found: list[Waiting] = []
    damaged: list[Damaged] = []
    position, size_bytes, is_more = place, 0, True
    while is_more and not found:
        is_more = False
        cursor = connection.execute(
            load(PACKAGE, "after.sql"), (position, min(most, _READ_AT_ONCE))
        )
        for position, *values in cursor:
            is_more = True
            row = read_row(position, tuple(values))
            if isinstance(row, Damaged):
                damaged.append(row)
                continue
            size_bytes += len(row.body)
            if found and size_bytes > most_bytes:
                break
            found.append(row)
        cursor.close()
    return found, damaged
