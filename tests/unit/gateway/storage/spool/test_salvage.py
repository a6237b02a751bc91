"""The readable rows of a damaged spool file are found."""

import random
import sqlite3
from pathlib import Path

import pytest

from services.gateway.storage.spool.file import SpoolFile
from services.gateway.storage.spool.quarantine import State, kept_files
from services.gateway.storage.spool.salvage import Salvage
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.storage.spool.damage import (
    PAGE_BYTES,
    ROW_DAMAGES,
    change_row,
    copy_of_open_files,
    create_spool,
    overwrite,
)

SMALL = b'{"message": {"type": "hang"}}'
LARGE = b'{"message": {"type": "hang", "text": "' + b"x" * 20_000 + b'"}}'


def salvaged(path: Path) -> tuple[list[str], Salvage]:
    salvage = Salvage(path)
    rows = [row for chunk in salvage.chunks() for row in chunk]
    return [values[0] for _, values in sorted(rows)], salvage


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_all_rows_of_an_intact_file_are_found(path: Path, body: bytes) -> None:
    """Each webhook once, with overflow pages or without."""
    written = create_spool(path, 300, body)

    found, salvage = salvaged(path)

    assert found == written
    assert salvage.unreadable == 0


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_a_damaged_page_loses_only_its_own_rows(path: Path, body: bytes) -> None:
    """The first page, an inner page or any other. Nothing wrong is found."""
    written = create_spool(path, 60, body)
    whole = path.read_bytes()
    rows_on_a_page = PAGE_BYTES // 300
    for page in range(len(whole) // PAGE_BYTES):
        path.write_bytes(whole)
        overwrite(path, page * PAGE_BYTES, random.Random(page).randbytes(PAGE_BYTES))

        found, _ = salvaged(path)

        assert set(found) <= set(written)
        assert len(found) >= len(written) - rows_on_a_page, f"page {page}"


def test_a_file_cut_in_half_gives_its_first_half(path: Path) -> None:
    written = create_spool(path, 300)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    found, _ = salvaged(path)

    assert len(found) > 100
    assert set(found) <= set(written)


def test_a_damaged_wal_is_read_after_the_damage(path: Path, tmp_path: Path) -> None:
    """SQLite stops at the first damaged frame, and overwrites all frames after it."""
    file = SpoolFile(path)
    file.open()
    envelopes = [an_envelope() for _ in range(200)]
    for envelope in envelopes:
        file.append([(envelope, SMALL)])
    copy = copy_of_open_files(path, tmp_path / "copy")
    file.close()
    wal = copy.with_name(f"{copy.name}-wal")
    overwrite(wal, wal.stat().st_size // 3, b"\xff" * 64)

    connection = sqlite3.connect(copy)
    [(by_sqlite,)] = connection.execute("SELECT count(*) FROM spooled")
    copy_before = {part: part.read_bytes() for part in copy.parent.iterdir()}
    connection.close()
    for part, content in copy_before.items():
        part.write_bytes(content)
    found, _ = salvaged(copy)

    assert by_sqlite < 150
    assert set(found) == {str(envelope.job_id) for envelope in envelopes}


def test_published_webhooks_are_skipped(path: Path, tmp_path: Path) -> None:
    """Old page versions still contain them; the mark shows that they are published."""
    file = SpoolFile(path)
    file.open()
    file.append([(an_envelope(), SMALL) for _ in range(100)])
    done, _ = file.read_after(0, max_count=60, max_bytes=10**9)
    file.delete(done)
    left, _ = file.read_after(0, max_count=100, max_bytes=10**9)
    copy = copy_of_open_files(path, tmp_path / "copy")
    file.close()

    found, _ = salvaged(copy)

    assert found == [str(webhook.envelope.job_id) for webhook in left]


def test_a_damaged_row_is_counted_and_not_restored(path: Path) -> None:
    written = create_spool(path, 5)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 2)

    found, salvage = salvaged(path)

    assert found == written[:1] + written[2:]
    assert salvage.unreadable == 1


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_raise_nothing(path: Path, seed: int) -> None:
    """As the whole file, or as pages of a valid one."""
    rubbish = random.Random(seed)
    path.write_bytes(rubbish.randbytes(50 * PAGE_BYTES))
    assert salvaged(path)[0] == []

    create_spool(path.with_name("other"), 60, LARGE)
    content = bytearray(path.with_name("other").read_bytes())
    for _ in range(400):
        content[rubbish.randrange(len(content))] = rubbish.randrange(256)
    path.write_bytes(content)
    salvaged(path)


def test_a_lost_wal_is_detected(path: Path, tmp_path: Path) -> None:
    """SQLite reports no error; the mark shows how many webhooks are missing."""
    file = SpoolFile(path)
    file.open()
    file.append([(an_envelope(), SMALL) for _ in range(50)])
    copy = copy_of_open_files(path, tmp_path / "copy")
    file.close()
    copy.with_name(f"{copy.name}-wal").unlink()

    later = SpoolFile(copy)
    kept = later.open()
    later.close()

    assert kept is not None
    assert kept.missing == 50
    assert [one.state for one in kept_files(copy)] == [State.QUARANTINED]


def test_a_truncated_wal_is_kept_unchanged(path: Path, tmp_path: Path) -> None:
    """Closing the file would overwrite what SQLite does not read."""
    file = SpoolFile(path)
    file.open()
    for _ in range(50):
        file.append([(an_envelope(), SMALL)])
    copy = copy_of_open_files(path, tmp_path / "copy")
    file.close()
    wal = copy.with_name(f"{copy.name}-wal")
    wal.write_bytes(wal.read_bytes()[: wal.stat().st_size // 2])
    cut = wal.read_bytes()

    later = SpoolFile(copy)
    kept = later.open()
    later.close()

    assert kept is not None
    assert 0 < kept.missing < 50
    assert kept.path.with_name(f"{kept.path.name}-wal").read_bytes() == cut


@pytest.mark.parametrize("waiting", [0, 3])
def test_a_removed_file_is_a_loss_if_it_had_webhooks(path: Path, waiting: int) -> None:
    """Someone may clear the folder while the spool is empty."""
    create_spool(path, 3)
    file = SpoolFile(path)
    file.open()
    file.delete(file.read_after(0, max_count=3 - waiting, max_bytes=10**9)[0][: 3 - waiting])
    file.close()
    path.unlink()

    kept = file.open()
    file.close()

    assert (kept.missing if kept else 0) == waiting


def test_restoring_again_adds_nothing(path: Path, tmp_path: Path) -> None:
    """An interrupted salvage starts again."""
    written = create_spool(path, 20)
    kept = path.rename(tmp_path / "kept")
    file = SpoolFile(path)
    file.open()

    counts = [file.restore(chunk) for _ in range(2) for chunk in Salvage(kept).chunks()]
    found, _ = file.read_after(0, max_count=100, max_bytes=10**9)
    file.close()

    assert counts == [20, 0]
    assert [str(one.envelope.job_id) for one in found] == written


def test_restoring_another_spool_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    """Both spools count from 1."""
    written = create_spool(tmp_path / "other.sqlite3", 20)
    here = create_spool(path, 5)
    file = SpoolFile(path)
    file.open()

    for chunk in Salvage(tmp_path / "other.sqlite3").chunks():
        file.restore(chunk)
    found, _ = file.read_after(0, max_count=100, max_bytes=10**9)
    file.close()

    assert sorted(str(one.envelope.job_id) for one in found) == sorted(here + written)
