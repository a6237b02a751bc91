"""The gateway salvages damaged files automatically, beside live webhooks."""

from dataclasses import dataclass, field
from pathlib import Path

from services.gateway.storage.spool.file import FILE_NAME, SpoolFile
from services.gateway.storage.spool.quarantine import State
from services.gateway.storage.spool.salvage import Salvager
from services.gateway.storage.spool.spool import Spool, SpoolBounds
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.storage.spool.damage import PAGE_BYTES, create_spool, overwrite

MIB = 1024 * 1024


@dataclass
class FakeInstruments:
    salvaged: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def spool_opened(self, *, path: str, waiting: int) -> None: ...
    def file_quarantined(self, *, path: str, missing: int) -> None: ...
    def row_quarantined(self, *, sequence: int, reason: str) -> None: ...

    def spool_failed(self, error: BaseException) -> None:
        self.failures.append(error)

    def spool_salvaged(self, *, path: str, count: int, unreadable: int) -> None:
        assert f".{State.SALVAGED}-" in path
        assert unreadable >= 0
        self.salvaged.append(count)

    def failed(self) -> None:
        raise AssertionError


def spool_in(folder: Path, instruments: FakeInstruments) -> Spool:
    return Spool(folder, SpoolBounds(max_bytes=64 * MIB, free_bytes=0, timeout_s=5.0), instruments)


async def test_an_interrupted_salvage_is_done_after_a_restart(tmp_path: Path) -> None:
    """No webhook is restored twice."""
    create_spool(tmp_path / FILE_NAME, 50)
    overwrite(tmp_path / FILE_NAME, PAGE_BYTES, b"\xff" * PAGE_BYTES)
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running():
        pass

    for _ in range(2):
        async with (
            spool_in(tmp_path, instruments).running() as spool,
            Salvager(spool, instruments),
        ):
            await eventually(lambda: len(instruments.salvaged) == 1)
            count = spool.count

    assert count == instruments.salvaged[0] > 0


async def test_a_wal_alone_is_salvaged(tmp_path: Path) -> None:
    """A gateway that dies while it renames the files leaves only some of them."""
    other = SpoolFile(tmp_path / "other")
    other.open()
    other.append([(an_envelope(), b"{}")])
    wal = (tmp_path / "other-wal").read_bytes()
    (tmp_path / f"{FILE_NAME}.quarantined-5-wal").write_bytes(wal)
    other.close()
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running() as spool, Salvager(spool, instruments):
        await eventually(lambda: bool(instruments.salvaged))

    assert instruments.salvaged == [1]
