"""The spool on a real disk, with all its failures."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ringback.contract.envelope import Envelope
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.gateway.storage.result import SpoolOutcome
from ringback.services.gateway.storage.spool.file import FILE_NAME, SpooledWebhook, SpoolFile
from ringback.services.gateway.storage.spool.spool import Spool
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import a_webhook, an_envelope
from tests.unit.gateway.storage.spool.damage import ROW_DAMAGES, change_row, create_spool, opened
from tests.unit.gateway.storage.spool.spools import MIB, FakeInstruments, spool_in

SPOOLED = SpoolOutcome.SPOOLED


class ScriptedFile(SpoolFile):
    """Raises each of `errors` in place of one call; a commit waits until it is `released`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.errors: list[Exception] = []
        self.commits: list[int] = []
        self.released = threading.Event()
        self.released.set()

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def append(self, webhooks: Iterable[tuple[Envelope, bytes]]) -> None:
        rows = list(webhooks)
        self.commits.append(len(rows))
        self.released.wait(60)
        self._fail()
        super().append(rows)

    def read_after(self, *arguments: Any, **named: Any) -> Any:
        self._fail()
        return super().read_after(*arguments, **named)

    def try_write(self) -> None:
        self._fail()
        super().try_write()


def sqlite_error(code: int) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("as SQLite reports it")
    error.sqlite_errorcode = code
    return error


@pytest.fixture
def file(tmp_path: Path) -> ScriptedFile:
    return ScriptedFile(tmp_path / FILE_NAME)


async def all_of(spool: Spool) -> list[SpooledWebhook]:
    return await spool.read_after(0, max_count=1_000, max_bytes=1_000 * MIB)


async def test_concurrent_webhooks_share_commits(tmp_path: Path, file: ScriptedFile) -> None:
    """200 concurrent webhooks need few commits and keep their order."""
    webhooks = [a_webhook() for _ in range(200)]

    async with spool_in(tmp_path, file=file).running() as spool:
        outcomes = await asyncio.gather(*(spool.store(one) for one in webhooks))
        found = await all_of(spool)

    assert set(outcomes) == {SPOOLED}
    assert [one.envelope for one in found] == [one.envelope for one in webhooks]
    assert len(file.commits) <= 3


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
    """Others may need the disk. It is not ready even before a webhook is rejected."""
    async with spool_in(tmp_path, free_bytes=2**60).running() as spool:
        assert spool.has_room()
        assert not await spool.can_store()
        outcome = await spool.store(a_webhook())

        assert (outcome, spool.count) == (SpoolOutcome.FULL, 0)


@pytest.mark.parametrize(
    ("error", "outcome", "failures"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), SpoolOutcome.FULL, []),
        (ValueError("a bug"), SpoolOutcome.BROKEN, ["ValueError"]),
    ],
)
async def test_a_failed_commit_does_not_stop_later_ones(
    tmp_path: Path, file: ScriptedFile, error: Exception, outcome: SpoolOutcome, failures: list[str]
) -> None:
    """SQLite's error for a full disk is not a failure of the spool."""
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments, file=file).running() as spool:
        file.errors.append(error)
        first = await spool.store(a_webhook())
        second = await spool.store(a_webhook())

    assert (first, second) == (outcome, SPOOLED)
    assert instruments.failures == failures


async def test_a_folder_serves_one_gateway(tmp_path: Path) -> None:
    """A second one cannot start until the first has stopped."""
    async with spool_in(tmp_path).running():
        with pytest.raises(CannotStartError, match="RINGBACK_SPOOL_DIR"):
            async with spool_in(tmp_path).running():
                pass

    async with spool_in(tmp_path).running() as later:
        assert await later.store(a_webhook()) is SPOOLED


async def test_an_unusable_folder_does_not_prevent_the_start(tmp_path: Path) -> None:
    """Each webhook is rejected; once the folder is usable, a refresh opens it."""
    folder = tmp_path / "spool"
    folder.write_text("a file where a folder should be")
    instruments = FakeInstruments()

    async with spool_in(folder, instruments).running() as spool:
        without = await spool.store(a_webhook())
        room_without = spool.has_room()
        folder.unlink()
        await spool.refresh()
        room_after_a_refresh = spool.has_room()
        with_folder = await spool.store(a_webhook())

        assert (without, room_without) == (SpoolOutcome.BROKEN, False)
        assert room_after_a_refresh
        assert (with_folder, spool.has_room(), spool.count) == (SPOOLED, True, 1)
    assert "FileExistsError" in instruments.failures


async def test_a_file_that_becomes_corrupt_is_quarantined(
    tmp_path: Path, file: ScriptedFile
) -> None:
    """The webhook that reveals it is stored in a new file."""
    instruments = FakeInstruments()

    async with spool_in(tmp_path, instruments, file=file).running() as spool:
        await spool.store(a_webhook())
        file.errors.append(sqlite_error(sqlite3.SQLITE_CORRUPT))

        outcome = await spool.store(a_webhook())

        assert (outcome, spool.count, len(await all_of(spool))) == (SPOOLED, 1, 1)
    assert len(instruments.quarantined) == 1
    with opened(Path(instruments.quarantined[0])) as kept:
        assert kept.count == 1


async def test_a_hanging_disk_times_out(tmp_path: Path, file: ScriptedFile) -> None:
    """The caller gets an outcome in time, and a webhook stored late is counted."""
    file.released.clear()
    async with spool_in(tmp_path, timeout_s=0.05, file=file).running() as spool:
        assert await spool.store(a_webhook()) is SpoolOutcome.SLOW
        file.released.set()

        await eventually(lambda: spool.count == 1)


async def test_what_waits_for_a_hanging_disk_is_limited(tmp_path: Path, file: ScriptedFile) -> None:
    """Otherwise a long hang would fill the memory with webhooks whose requests have ended."""
    file.released.clear()
    webhook = a_webhook()
    queue_bytes = 2 * webhook.size_bytes
    limited = spool_in(tmp_path, queue_bytes=queue_bytes, timeout_s=0.05, file=file)
    async with limited.running() as spool:
        outcomes = {await spool.store(webhook) for _ in range(3)}
        file.released.set()

        await eventually(lambda: spool.count == 2)
        await spool.store(webhook)
        await eventually(lambda: spool.count == 3)
    assert outcomes == {SpoolOutcome.SLOW}


async def test_a_corrupt_file_is_replaced_once(tmp_path: Path, file: ScriptedFile) -> None:
    """Pending calls for the old file must not replace the new one."""
    instruments = FakeInstruments()
    async with spool_in(tmp_path, instruments, file=file).running() as spool:
        await spool.store(a_webhook())
        file.errors.append(sqlite_error(sqlite3.SQLITE_CORRUPT))
        reads = [spool.read_after(0, max_count=1, max_bytes=1) for _ in range(3)]
        ends = await asyncio.gather(*reads, return_exceptions=True)

    assert len(instruments.quarantined) == 1
    assert [type(end) for end in ends] == [sqlite3.DatabaseError, list, list]


async def test_readiness_reflects_the_disk(tmp_path: Path, file: ScriptedFile) -> None:
    """After a failed commit, readiness tries to write."""
    async with spool_in(tmp_path, file=file).running() as spool:
        before = await spool.can_store()
        file.errors += [OSError("I/O error"), OSError("I/O error")]
        await spool.store(a_webhook())
        meanwhile = await spool.can_store()
        after = await spool.can_store()

    assert (before, meanwhile, after) == (True, False, True)


async def test_webhooks_of_another_process_are_counted(tmp_path: Path) -> None:
    """`ringback spool salvage` writes beside a running gateway."""
    async with spool_in(tmp_path).running() as spool:
        with opened(tmp_path / FILE_NAME) as other:
            other.append([(an_envelope(), b"{}")])
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
