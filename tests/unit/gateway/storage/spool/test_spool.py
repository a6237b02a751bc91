"""The spool on a real disk, with all its failures."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from ringback.runtime.process.lifecycle import CannotStartError
from services.gateway.storage.result import SpoolOutcome
from services.gateway.storage.spool.file import FILE_NAME, SpooledWebhook, SpoolFile
from services.gateway.storage.spool.spool import Spool, SpoolBounds
from tests.unit.gateway.envelopes import a_webhook, an_envelope
from tests.unit.gateway.storage.spool.damage import ROW_DAMAGES, change_row, create_spool

MIB = 1024 * 1024
SPOOLED = SpoolOutcome.SPOOLED


@dataclass
class FakeInstruments:
    opened: list[int] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def spool_opened(self, *, path: str, waiting: int) -> None:
        assert path.endswith(FILE_NAME)
        self.opened.append(waiting)

    def file_quarantined(self, *, path: str, missing: int) -> None:
        self.quarantined.append(path)
        self.missing.append(missing)

    def row_quarantined(self, *, sequence: int, reason: str) -> None:
        assert sequence > 0
        self.rows.append(reason)

    def spool_failed(self, error: BaseException) -> None:
        self.failures.append(type(error).__name__)


def spool_in(
    folder: Path,
    instruments: FakeInstruments | None = None,
    *,
    max_bytes: int = 64 * MIB,
    free_bytes: int = 0,
) -> Spool:
    bounds = SpoolBounds(max_bytes=max_bytes, free_bytes=free_bytes, timeout_s=5.0)
    return Spool(folder, bounds, instruments or FakeInstruments())


async def all_of(spool: Spool) -> list[SpooledWebhook]:
    return await spool.read_after(0, max_count=1_000, max_bytes=1_000 * MIB)


async def test_concurrent_webhooks_share_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 concurrent webhooks need few commits and keep their order."""
    sizes: list[int] = []
    append = SpoolFile.append

    def counted(self: SpoolFile, webhooks: object) -> None:
        rows = list(webhooks)  # type: ignore[call-overload]  # an iterable of pairs
        sizes.append(len(rows))
        append(self, rows)

    monkeypatch.setattr(SpoolFile, "append", counted)
    webhooks = [a_webhook() for _ in range(200)]

    async with spool_in(tmp_path).running() as spool:
        outcomes = await asyncio.gather(*(spool.store(one) for one in webhooks))
        found = await all_of(spool)

    assert set(outcomes) == {SPOOLED}
    assert [one.envelope for one in found] == [one.envelope for one in webhooks]
    assert len(sizes) <= 3


async def test_webhooks_survive_a_restart(tmp_path: Path) -> None:
    """The next process knows their number and age, and deletes what it has published."""
    async with spool_in(tmp_path).running() as first:
        for _ in range(3):
            await first.store(a_webhook(bytes(1000)))
    instruments = FakeInstruments()

    async with spool_in(tmp_path, instruments).running() as second:
        before = (second.count, second.size_bytes >= 3000, second.oldest_age_s > 0)
        found = await all_of(second)
        await second.delete(found[:2])
        between = second.count
        await second.delete(found[2:])
        after = (second.count, second.size_bytes, second.oldest_age_s)

    assert instruments.opened == [3]
    assert before == (3, True, True)
    assert between == 1
    assert after == (0, 0, 0.0)


async def test_the_size_is_limited(tmp_path: Path) -> None:
    """A full spool rejects at once; deleting webhooks makes room."""
    async with spool_in(tmp_path, max_bytes=MIB).running() as spool:
        first = await spool.store(a_webhook(bytes(MIB // 2)))
        second = await spool.store(a_webhook(bytes(MIB // 2)))
        room_for_a_small_one = spool.has_room()
        await spool.delete(await all_of(spool))
        third = await spool.store(a_webhook(bytes(MIB // 2)))

    assert [first, second, third] == [SPOOLED, SpoolOutcome.FULL, SPOOLED]
    assert room_for_a_small_one


async def test_it_leaves_free_bytes_on_the_disk(tmp_path: Path) -> None:
    """Others may need the disk."""
    async with spool_in(tmp_path, free_bytes=2**60).running() as spool:
        outcome = await spool.store(a_webhook())

        assert (outcome, spool.count) == (SpoolOutcome.FULL, 0)


async def test_a_full_disk_is_reported_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's error for it is not a failure of the spool."""
    instruments = FakeInstruments()

    def append(self: SpoolFile, webhooks: object) -> None:
        del self, webhooks
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    async with spool_in(tmp_path, instruments).running() as spool:
        monkeypatch.setattr(SpoolFile, "append", append)
        outcome = await spool.store(a_webhook())

    assert (outcome, instruments.failures) == (SpoolOutcome.FULL, [])


async def test_a_folder_serves_one_gateway(tmp_path: Path) -> None:
    """A second one cannot start until the first has stopped."""
    async with spool_in(tmp_path).running():
        with pytest.raises(CannotStartError, match="RINGBACK_SPOOL_DIR"):
            async with spool_in(tmp_path).running():
                pass

    async with spool_in(tmp_path).running() as later:
        assert await later.store(a_webhook()) is SPOOLED


async def test_an_unusable_folder_does_not_prevent_the_start(tmp_path: Path) -> None:
    """Each webhook is rejected; once the folder is usable, the next one is stored."""
    folder = tmp_path / "spool"
    folder.write_text("a file where a folder should be")
    instruments = FakeInstruments()

    async with spool_in(folder, instruments).running() as spool:
        without = await spool.store(a_webhook())
        room_without = spool.has_room()
        folder.unlink()
        with_folder = await spool.store(a_webhook())

        assert (without, room_without) == (SpoolOutcome.BROKEN, False)
        assert (with_folder, spool.has_room(), spool.count) == (SPOOLED, True, 1)
    assert "FileExistsError" in instruments.failures


async def test_a_file_that_becomes_corrupt_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The webhook that reveals it is stored in a new file."""
    instruments = FakeInstruments()
    append = SpoolFile.append

    def broken(self: SpoolFile, webhooks: object) -> None:
        if not instruments.quarantined and not list(tmp_path.glob("*.quarantined-*")):
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        append(self, webhooks)  # type: ignore[arg-type]  # what it was called with

    async with spool_in(tmp_path, instruments).running() as spool:
        await spool.store(a_webhook())
        monkeypatch.setattr(SpoolFile, "append", broken)

        outcome = await spool.store(a_webhook())

        assert (outcome, spool.count, len(await all_of(spool))) == (SPOOLED, 1, 1)
    assert len(instruments.quarantined) == 1
    kept = SpoolFile(Path(instruments.quarantined[0]))
    kept.open()
    assert kept.count == 1
    kept.close()


async def test_a_hanging_disk_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets an outcome in time, and a webhook stored late is counted."""
    bounds = SpoolBounds(max_bytes=MIB, free_bytes=0, timeout_s=0.05)
    async with Spool(tmp_path, bounds, FakeInstruments()).running() as spool:
        append, let_go = SpoolFile.append, asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(self: SpoolFile, webhooks: object) -> None:
            asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result()
            append(self, webhooks)  # type: ignore[arg-type]  # what it was called with

        monkeypatch.setattr(SpoolFile, "append", slow)
        outcome = await spool.store(a_webhook())
        let_go.set()
        found = await all_of(spool)

        assert outcome is SpoolOutcome.SLOW
        assert len(found) == 1


async def test_a_corrupt_file_is_replaced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pending calls for the old file must not replace the new one."""
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running() as spool:
        await spool.store(a_webhook())
        monkeypatch.setattr(SpoolFile, "read_after", corrupt_at_first(SpoolFile.read_after))
        asked = [spool.read_after(0, max_count=1, max_bytes=1) for _ in range(3)]
        ends = await asyncio.gather(*asked, return_exceptions=True)

    assert len(instruments.quarantined) == 1
    assert [type(end) for end in ends] == [sqlite3.DatabaseError, list, list]


async def test_a_failed_commit_does_not_stop_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever one batch raises, the next one is stored."""
    async with spool_in(tmp_path).running() as spool:
        append = SpoolFile.append
        monkeypatch.setattr(SpoolFile, "append", raising(ValueError("a bug")))
        first = await spool.store(a_webhook())
        monkeypatch.setattr(SpoolFile, "append", append)
        second = await spool.store(a_webhook())

    assert (first, second) == (SpoolOutcome.BROKEN, SPOOLED)


async def test_readiness_reflects_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed commit, readiness tries to write."""
    async with spool_in(tmp_path).running() as spool:
        before = await spool.can_store()
        with monkeypatch.context() as broken:
            broken.setattr(SpoolFile, "append", raising(OSError("I/O error")))
            broken.setattr(SpoolFile, "try_write", raising(OSError("I/O error")))
            await spool.store(a_webhook())
            meanwhile = await spool.can_store()
        after = await spool.can_store()

    assert (before, meanwhile, after) == (True, False, True)


async def test_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    """Even before a webhook is rejected."""
    async with spool_in(tmp_path, free_bytes=2**60).running() as spool:
        assert spool.has_room()
        assert not await spool.can_store()


async def test_a_folder_that_becomes_usable_is_used(tmp_path: Path) -> None:
    """A refresh opens it."""
    folder = tmp_path / "spool"
    folder.write_text("a file where a folder should be")
    async with spool_in(folder).running() as spool:
        folder.unlink()
        await spool.refresh()

        assert spool.has_room()


async def test_webhooks_of_another_process_are_counted(tmp_path: Path) -> None:
    """`ringback spool salvage` writes beside a running gateway."""
    async with spool_in(tmp_path).running() as spool:
        other = SpoolFile(tmp_path / FILE_NAME)
        other.open()
        other.append([(an_envelope(), b"{}")])
        other.close()
        before = spool.count
        await spool.refresh()

        assert (before, spool.count) == (0, 1)


async def test_a_damaged_row_is_reported_once(tmp_path: Path) -> None:
    """It is counted separately from waiting webhooks."""
    create_spool(tmp_path / FILE_NAME, 3)
    change_row(tmp_path / FILE_NAME, ROW_DAMAGES["a body cut by a byte"], 2)
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments).running() as spool:
        found = [await all_of(spool) for _ in range(2)]

        assert [len(one) for one in found] == [2, 2]
        assert (spool.count, spool.damaged) == (2, 1)
    assert len(instruments.rows) == 1


def corrupt_at_first(method: Callable[..., object]) -> Callable[..., object]:
    calls = count()

    def called(*arguments: object, **named: object) -> object:
        if next(calls) == 0:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return method(*arguments, **named)

    return called


def raising(error: Exception) -> Callable[..., object]:
    def called(*_: object, **__: object) -> object:
        raise error

    return called
