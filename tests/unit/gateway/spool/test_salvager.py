"""A damaged spool brings back by itself what can be read, beside the webhooks that come."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.gateway.spool.quarantine import State, kept_files
from services.gateway.spool.salvager import Salvager
from services.gateway.spool.spool import FILE_NAME, Spool, SpoolBounds
from services.gateway.spool.spool_file import SpoolFile
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.spool.damage import PAGE_BYTES, filled, overwrite

MIB = 1024 * 1024


@dataclass
class Told:
    salvaged: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def spool_set_aside(self, *, path: str, missing: int) -> None: ...
    def row_set_aside(self, *, place: int, reason: str) -> None: ...

    def spool_failed(self, error: BaseException) -> None:
        self.failures.append(error)

    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None:
        assert f".{State.SALVAGED}-" in path
        assert unreadable >= 0
        self.salvaged.append(count)

    def failed(self) -> None:
        raise AssertionError


def spool_in(folder: Path, told: Told) -> Spool:
    return Spool(folder, SpoolBounds(most_bytes=64 * MIB, free_bytes=0, timeout_s=5.0), told)


@pytest.mark.parametrize("page", [0, 1, 5], ids=["first", "root", "another"])
async def test_the_readable_rows_of_a_damaged_file_are_in_the_spool_again(
    tmp_path: Path, page: int
) -> None:
    """In front of those that came since, and the file is kept under a name that says so."""
    written = filled(tmp_path / FILE_NAME, 400)
    overwrite(tmp_path / FILE_NAME, page * PAGE_BYTES, b"\xff" * PAGE_BYTES)
    told = Told()
    async with spool_in(tmp_path, told) as spool:
        newest = an_envelope()
        await spool.store(newest, b"{}")
        async with Salvager(spool, spool.path, told) as salvager:
            await eventually(lambda: bool(told.salvaged))
        found = await spool.after(0, most=500, most_bytes=MIB * 100)
        count = spool.count

    ids = [str(one.envelope.job_id) for one in found]
    assert told.failures == []
    assert told.salvaged[0] >= 380
    assert count == told.salvaged[0] + 1
    assert set(ids) <= {*written, str(newest.job_id)}
    assert salvager.kept == 1
    assert [one.state for one in kept_files(tmp_path / FILE_NAME)] == [State.SALVAGED]


async def test_a_salvage_that_was_broken_off_is_done_by_the_next_life(tmp_path: Path) -> None:
    """Nothing comes twice."""
    filled(tmp_path / FILE_NAME, 50)
    overwrite(tmp_path / FILE_NAME, PAGE_BYTES, b"\xff" * PAGE_BYTES)
    told = Told()
    async with spool_in(tmp_path, told):
        pass

    for _ in range(2):
        async with spool_in(tmp_path, told) as spool, Salvager(spool, spool.path, told):
            await eventually(lambda: len(told.salvaged) == 1)
            count = spool.count

    assert count == told.salvaged[0] > 0


async def test_files_that_an_earlier_version_left_are_for_a_person(tmp_path: Path) -> None:
    """Nobody knows whether somebody has brought their webhooks back already."""
    filled(tmp_path / FILE_NAME, 5)
    (tmp_path / f"{FILE_NAME}-mark").unlink()
    (tmp_path / FILE_NAME).rename(tmp_path / f"{FILE_NAME}.corrupt-123")
    told = Told()
    async with spool_in(tmp_path, told) as spool, Salvager(spool, spool.path, told) as salvager:
        await eventually(lambda: salvager.kept == 1)

        assert spool.count == 0


async def test_a_wal_alone_is_salvaged(tmp_path: Path) -> None:
    """A gateway that dies while it renames the three files leaves two names."""
    other = SpoolFile(tmp_path / "other")
    other.open()
    other.append([(an_envelope(), b"{}")])
    wal = (tmp_path / "other-wal").read_bytes()
    (tmp_path / f"{FILE_NAME}.quarantined-5-wal").write_bytes(wal)
    other.close()
    told = Told()
    async with spool_in(tmp_path, told) as spool, Salvager(spool, spool.path, told):
        await eventually(lambda: bool(told.salvaged))

    assert told.salvaged == [1]
