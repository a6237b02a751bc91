"""Committed webhooks are in the file, in order, even if the process is killed."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from ringback.services.gateway.storage.spool.file import SpooledWebhook, SpoolFile
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.storage.spool.damage import (
    PAGE_BYTES,
    ROW_DAMAGES,
    change_row,
    create_spool,
    job_ids,
    opened,
    overwrite,
)


def waiting(
    file: SpoolFile, sequence: int = 0, max_count: int = 10, max_bytes: int = 10**9
) -> list[SpooledWebhook]:
    found, damaged = file.read_after(sequence, max_count=max_count, max_bytes=max_bytes)
    assert not damaged
    return found


def test_webhooks_are_read_as_written(path: Path) -> None:
    """The same envelopes and bytes, in the same order."""
    bodies = [f'{{"n": {n}}}\x00\xff'.encode("latin-1") for n in range(5)]
    webhooks = [(replace(an_envelope(), is_bulk=body in bodies[2:]), body) for body in bodies]
    with opened(path) as file:
        file.append(webhooks)

    with opened(path) as again:
        assert [(one.envelope, one.body) for one in waiting(again)] == webhooks
        assert (again.count, again.size_bytes) == (5, sum(len(body) for _, body in webhooks))
        assert again.oldest_s is not None


def test_reading_is_limited(path: Path) -> None:
    """Both limits apply, but at least one webhook is returned."""
    create_spool(path, 5, bytes(100))

    with opened(path) as file:
        by_count = waiting(file, max_count=2)
        by_bytes = waiting(file, max_bytes=250)
        one_too_large = waiting(file, max_bytes=1)
        behind = waiting(file, by_count[-1].sequence)

    assert [len(by_count), len(by_bytes), len(one_too_large), len(behind)] == [2, 2, 1, 3]


def test_sequence_numbers_are_never_reused(path: Path) -> None:
    """A reader does not miss webhooks stored after everything was deleted."""
    with opened(path) as file:
        file.append([(an_envelope(), b"{}")])
        [first] = waiting(file)
        file.delete([first])
        file.shrink()

        file.append([(an_envelope(), b"{}")])

        [second] = waiting(file, first.sequence)
    assert second.sequence > first.sequence


def test_an_empty_spool_frees_its_disk_space(path: Path) -> None:
    """A long outage does not leave a large file behind."""
    with opened(path) as file:
        file.append([(an_envelope(), bytes(1_000_000)) for _ in range(20)])
        file.delete(waiting(file, max_count=20))

        file.shrink()

        assert path.stat().st_size < 100_000


@pytest.mark.parametrize("damage_at", [0, PAGE_BYTES + 20], ids=["its head", "a page"])
def test_a_corrupt_file_is_quarantined(path: Path, damage_at: int) -> None:
    """It is kept unchanged under another name, and an empty one is started."""
    create_spool(path, 20, bytes(9_000))
    overwrite(path, damage_at, b"\xff" * PAGE_BYTES)
    content = path.read_bytes()

    file = SpoolFile(path)
    quarantined = file.open()

    assert quarantined is not None
    assert quarantined.path.read_bytes() == content
    assert (file.count, file.size_bytes) == (0, 0)
    file.append([(an_envelope(), b"{}")])
    file.close()


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    """They contain credentials. Also fixes the mode of a file of an earlier version."""
    path.touch(mode=0o644)

    with opened(path):
        modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}

    assert set(modes.values()) == {0o600}
    assert f"{path.name}-wal" in modes


ALL = {"max_count": 100, "max_bytes": 10**9}


@pytest.mark.parametrize("damage", ROW_DAMAGES.values(), ids=ROW_DAMAGES)
@pytest.mark.parametrize("sequence", [1, 3, 5], ids=["first", "middle", "last"])
def test_others_are_read_and_the_damaged_row_is_kept(
    path: Path, damage: str, sequence: int
) -> None:
    """It is reported once, kept with its bytes, and not read again, also after a restart."""
    written = create_spool(path, 5)
    change_row(path, damage, sequence)
    with opened(path) as file:
        found, damaged = file.read_after(0, **ALL)
        again, damaged_again = file.read_after(0, **ALL)
        counts = (file.count, file.damaged)
    with opened(path) as file:
        counts_after_restart = (file.count, file.damaged)

    assert job_ids(found) == job_ids(again) == written[: sequence - 1] + written[sequence:]
    assert [row.sequence for row in damaged] == [sequence]
    assert damaged_again == []
    assert counts == counts_after_restart == (4, 1)
    [(kept,)] = sqlite3.connect(path).execute("SELECT count(*) FROM damaged WHERE length(body) > 0")
    assert kept == 1


def test_a_batch_of_damaged_rows_does_not_end_the_reading(path: Path) -> None:
    """An empty result would mean that there are no more webhooks."""
    written = create_spool(path, 10)
    for sequence in range(1, 9):
        change_row(path, ROW_DAMAGES["a body cut by a byte"], sequence)

    with opened(path) as file:
        found, damaged = file.read_after(0, max_count=2, max_bytes=10**9)

    assert (job_ids(found), len(damaged)) == (written[8:], 8)
