"""A damaged row is quarantined; the webhooks before and after it are read."""

import sqlite3
from pathlib import Path

import pytest

from services.gateway.storage.spool.file import SpooledWebhook, SpoolFile
from tests.unit.gateway.storage.spool.damage import (
    ROW_DAMAGES,
    change_row,
    create_spool,
)

ALL = {"max_count": 100, "max_bytes": 10**9}


def job_ids(webhooks: list[SpooledWebhook]) -> list[str]:
    return [str(webhook.envelope.job_id) for webhook in webhooks]


@pytest.mark.parametrize("damage", ROW_DAMAGES.values(), ids=ROW_DAMAGES)
@pytest.mark.parametrize("sequence", [1, 3, 5], ids=["first", "middle", "last"])
def test_others_are_read_and_the_damaged_row_is_kept(
    path: Path, damage: str, sequence: int
) -> None:
    """It is reported once, kept with its bytes, and not read again."""
    written = create_spool(path, 5)
    change_row(path, damage, sequence)
    file = SpoolFile(path)
    assert file.open() is None

    found, damaged = file.read_after(0, **ALL)
    again, damaged_again = file.read_after(0, **ALL)
    counts = (file.count, file.damaged)
    file.close()

    assert job_ids(found) == job_ids(again) == written[: sequence - 1] + written[sequence:]
    assert [row.sequence for row in damaged] == [sequence]
    assert damaged_again == []
    assert counts == (4, 1)
    [(kept,)] = sqlite3.connect(path).execute("SELECT count(*) FROM damaged WHERE length(body) > 0")
    assert kept == 1


def test_a_batch_of_damaged_rows_does_not_end_the_reading(path: Path) -> None:
    """An empty result would mean that there are no more webhooks."""
    written = create_spool(path, 10)
    for sequence in range(1, 9):
        change_row(path, ROW_DAMAGES["a body cut by a byte"], sequence)
    file = SpoolFile(path)
    file.open()

    found, damaged = file.read_after(0, max_count=2, max_bytes=10**9)
    file.close()

    assert (job_ids(found), len(damaged)) == (written[8:], 8)


def test_damaged_rows_are_counted_after_a_restart(path: Path) -> None:
    """A damaged row is not a waiting webhook."""
    create_spool(path, 3)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 2)
    file = SpoolFile(path)
    file.open()
    file.read_after(0, **ALL)
    file.close()

    file.open()
    counts = (file.count, file.damaged)
    file.close()

    assert counts == (2, 1)
