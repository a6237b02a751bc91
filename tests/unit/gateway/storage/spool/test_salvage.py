"""The readable rows of a damaged spool file are found."""

import random
import sqlite3
from pathlib import Path

import pytest

from ringback.services.gateway.storage.spool.file import FILE_NAME, SpoolFile
from ringback.services.gateway.storage.spool.quarantine import State, kept_files
from ringback.services.gateway.storage.spool.salvage import Salvage, Salvager
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.storage.spool.damage import (
    PAGE_BYTES,
    ROW_DAMAGES,
    change_row,
    copy_of_open_files,
    create_spool,
    job_ids,
    opened,
    overwrite,
)
from tests.unit.gateway.storage.spool.spools import FakeInstruments, spool_in

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
    written = create_spool(path, 30 if body is LARGE else 60, body)
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
    envelopes = [an_envelope() for _ in range(200)]
    with opened(path) as file:
        for envelope in envelopes:
            file.append([(envelope, SMALL)])
        copy = copy_of_open_files(path, tmp_path / "copy")
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
    with opened(path) as file:
        file.append([(an_envelope(), SMALL) for _ in range(100)])
        done, _ = file.read_after(0, max_count=60, max_bytes=10**9)
        file.delete(done)
        left, _ = file.read_after(0, max_count=100, max_bytes=10**9)
        copy = copy_of_open_files(path, tmp_path / "copy")

    found, _ = salvaged(copy)

    assert found == job_ids(left)


def test_a_damaged_row_is_counted_and_not_restored(path: Path) -> None:
    written = create_spool(path, 5)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 2)

    found, salvage = salvaged(path)

    assert found == written[:1] + written[2:]
    assert salvage.unreadable == 1


@pytest.mark.parametrize("reserved", [10, 11])
def test_a_row_with_a_reserved_kind_of_column_is_skipped(path: Path, reserved: int) -> None:
    """No column has it, so only a damaged row does. The other rows are found."""
    written = create_spool(path, 5)
    # The kinds of the columns are before their values: the job id, of 36 bytes, is the second.
    job_id = path.read_bytes().index(written[2].encode())
    kinds = path.read_bytes().rindex(bytes([0, 12 + 2 * 36 + 1]), 0, job_id)
    overwrite(path, kinds + 1, bytes([reserved]))

    found, _ = salvaged(path)

    assert found == written[:2] + written[3:]


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


def fifty_commits_in_a_wal(path: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of a spool whose webhooks are only in its -wal; the file and the -wal."""
    with opened(path) as file:
        for _ in range(50):
            file.append([(an_envelope(), SMALL)])
        copy = copy_of_open_files(path, folder)
    return copy, copy.with_name(f"{copy.name}-wal")


def test_a_lost_wal_is_detected(path: Path, tmp_path: Path) -> None:
    """SQLite reports no error; the mark shows how many webhooks are missing."""
    copy, wal = fifty_commits_in_a_wal(path, tmp_path / "copy")
    wal.unlink()

    later = SpoolFile(copy)
    kept = later.open()
    later.close()

    assert kept is not None
    assert kept.missing == 50
    assert [one.state for one in kept_files(copy)] == [State.QUARANTINED]


def test_a_truncated_wal_is_kept_unchanged(path: Path, tmp_path: Path) -> None:
    """Closing the file would overwrite what SQLite does not read."""
    copy, wal = fifty_commits_in_a_wal(path, tmp_path / "copy")
    cut = wal.read_bytes()[: wal.stat().st_size // 2]
    wal.write_bytes(cut)

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
    with opened(path) as file:
        file.delete(file.read_after(0, max_count=3 - waiting, max_bytes=10**9)[0][: 3 - waiting])
    path.unlink()

    kept = file.open()
    file.close()

    assert (kept.missing if kept else 0) == waiting


@pytest.mark.parametrize(("waiting", "rounds"), [(0, 2), (5, 1)], ids=["again", "beside others"])
def test_restoring_adds_each_once_and_overwrites_nothing(
    path: Path, tmp_path: Path, waiting: int, rounds: int
) -> None:
    """An interrupted salvage starts again. Both spools count from 1."""
    kept = tmp_path / "kept"
    salvaged_ids, here = create_spool(kept, 20), create_spool(path, waiting)

    with opened(path) as file:
        count = sum(file.restore(chunk) for _ in range(rounds) for chunk in Salvage(kept).chunks())
        found, _ = file.read_after(0, max_count=100, max_bytes=10**9)

    assert count == 20
    assert sorted(job_ids(found)) == sorted(here + salvaged_ids)


async def test_an_interrupted_salvage_is_done_after_a_restart(tmp_path: Path) -> None:
    """No webhook is restored twice."""
    create_spool(tmp_path / FILE_NAME, 50)
    overwrite(tmp_path / FILE_NAME, PAGE_BYTES, b"\xff" * PAGE_BYTES)
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running():
        pass

    for _ in range(2):
        async with spool_in(tmp_path, instruments).running() as spool, Salvager(spool, instruments):
            await eventually(lambda: len(instruments.salvaged) == 1)
            count = spool.count

    assert count == instruments.salvaged[0] > 0


async def test_a_wal_alone_is_salvaged(tmp_path: Path) -> None:
    """A gateway that dies while it renames the files leaves only some of them."""
    with opened(tmp_path / "other") as other:
        other.append([(an_envelope(), b"{}")])
        wal = (tmp_path / "other-wal").read_bytes()
        (tmp_path / f"{FILE_NAME}.quarantined-5-wal").write_bytes(wal)
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running() as spool, Salvager(spool, instruments):
        await eventually(lambda: bool(instruments.salvaged))

    assert instruments.salvaged == [1]


async def test_a_file_that_cannot_be_read_does_not_delay_the_others(tmp_path: Path) -> None:
    """It is tried again, and may need a person."""
    endless = tmp_path / f"{FILE_NAME}.quarantined-1"
    endless.symlink_to(endless)
    written = create_spool(tmp_path / f"{FILE_NAME}.quarantined-2", 5)
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running() as spool, Salvager(spool, instruments):
        await eventually(lambda: bool(instruments.salvaged))

    assert instruments.salvaged == [len(written)]
    assert instruments.failures == ["OSError"]
