"""Spool files, and ways in which a disk or a person can damage them."""

import sqlite3
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ringback.services.gateway.storage.spool.file import SpooledWebhook, SpoolFile
from tests.unit.gateway.envelopes import an_envelope

PAGE_BYTES = 4096

ROW_DAMAGES = {
    "a header cut by a byte": "UPDATE spooled SET headers = substr(headers, 2) WHERE seq = ?",
    "headers that are no object": "UPDATE spooled SET headers = '[1]' WHERE seq = ?",
    "headers that are not UTF-8": (
        "UPDATE spooled SET headers = CAST(X'ff7b7d' AS TEXT) WHERE seq = ?"
    ),
    "a job id that is not UTF-8": "UPDATE spooled SET job_id = CAST(X'ff' AS TEXT) WHERE seq = ?",
    "an event type that is too long": (
        "UPDATE spooled SET event_type = CAST(zeroblob(300) AS TEXT) WHERE seq = ?"
    ),
    "a body cut by a byte": "UPDATE spooled SET body = substr(body, 2) WHERE seq = ?",
    "a body that is another type": "UPDATE spooled SET body = 7 WHERE seq = ?",
}


def change_row(path: Path, statement: str, sequence: int) -> None:
    """Change one row with a statement, as if the disk had changed its bytes."""
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute(statement, (sequence,)).rowcount == 1
    connection.close()


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@contextmanager
def opened(path: Path) -> Generator[SpoolFile, None, None]:
    """An open file of which nothing is quarantined."""
    file = SpoolFile(path)
    assert file.open() is None
    try:
        yield file
    finally:
        file.close()


def create_spool(
    path: Path, count: int, body: bytes = b'{"message": {"type": "hang"}}'
) -> list[str]:
    """Fill a spool and close it; return the job ids."""
    envelopes = [an_envelope() for _ in range(count)]
    with opened(path) as file:
        file.append([(envelope, body) for envelope in envelopes])
    return [str(envelope.job_id) for envelope in envelopes]


def job_ids(webhooks: Iterable[SpooledWebhook]) -> list[str]:
    return [str(webhook.envelope.job_id) for webhook in webhooks]


def copy_of_open_files(path: Path, folder: Path) -> Path:
    """Copy a spool that is in use with its -wal, as a power cut leaves it."""
    folder.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        (folder / part.name).write_bytes(part.read_bytes())
    return folder / path.name
