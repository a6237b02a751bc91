"""`ringback spool` with its gateway stopped, and beside a running one."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from ringback.services.gateway.storage.spool.database import FolderLock
from ringback.services.gateway.storage.spool.quarantine import State, kept_files
from tests.unit.cli.command import Ringback
from tests.unit.gateway.storage.spool.damage import (
    PAGE_BYTES,
    ROW_DAMAGES,
    change_row,
    create_spool,
    opened,
    overwrite,
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGBACK_SPOOL_DIR", str(tmp_path))
    return tmp_path / "spool.sqlite3"


@pytest.fixture
def ringback(capsys: pytest.CaptureFixture[str]) -> Ringback:
    return Ringback(capsys)


def count_in(path: Path) -> int:
    with opened(path) as file:
        return file.count


def create_damaged(path: Path) -> list[str]:
    """A spool of three webhooks in which a reader found the first one damaged."""
    written = create_spool(path, 3)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 1)
    with opened(path) as file:
        file.read_after(0, max_count=1, max_bytes=10**9)
    return written


def test_list_shows_waiting_and_damaged_webhooks(path: Path, ringback: Ringback) -> None:
    """Damaged rows are shown as far as readable, without terminal control characters."""
    written = create_damaged(path)
    change_row(path, "UPDATE spooled SET event_type = '[/x]' || char(27) WHERE seq = ?", 2)
    with opened(path) as file:
        file.read_after(0, max_count=10, max_bytes=10**9)

    ended = ringback("spool", "list")
    document = orjson.loads(ringback("spool", "list", "--json").out)

    assert (document["waiting"]["count"], document["errors"]) == (1, [])
    assert document["damagedRows"][0]["jobId"] == written[0]
    assert ended.status == 0
    assert "1 webhook of" in ended.out
    assert written[0] in ended.out
    assert "[/x] " in ended.out
    assert "\x1b" not in ended.out
    assert ended.out.count("checksum does not match") == 2


def test_salvage_replaces_a_damaged_file_and_restores_its_rows(
    path: Path, ringback: Ringback
) -> None:
    """With the gateway stopped; nothing is salvaged twice."""
    create_spool(path, 400)
    overwrite(path, 0, b"\xff" * PAGE_BYTES)

    first, listed, second = [ringback("spool", word).out for word in ("salvage", "list", "salvage")]

    assert "400 webhooks restored" in first
    assert "400 webhooks of" in listed
    assert "salvaged" in listed
    [file] = orjson.loads(ringback("spool", "list", "--json").out)["files"]
    assert (file["state"], file["readable"]) == ("salvaged", 400)
    assert "Nothing to salvage" in second
    assert count_in(path) == 400


@pytest.fixture
def running_gateway(path: Path) -> Iterator[None]:
    """A gateway has the folder."""
    lock = FolderLock(path.parent)
    lock.acquire()
    yield
    lock.release()


@pytest.mark.usefixtures("running_gateway")
def test_salvage_works_beside_a_running_gateway(path: Path, ringback: Ringback) -> None:
    """With a replaced file that was not salvaged yet."""
    create_spool(path.with_name(f"{path.name}.quarantined-1"), 5)
    create_spool(path, 2)

    with opened(path) as gateway:
        printed = ringback("spool", "salvage").out
        gateway.refresh()

        assert "5 webhooks restored" in printed
        assert gateway.count == 7
    assert [one.state for one in kept_files(path)] == [State.SALVAGED]


@pytest.mark.usefixtures("running_gateway")
def test_a_running_gateway_keeps_its_file(path: Path, ringback: Ringback) -> None:
    """The gateway has the damaged file open, and replaces it itself."""
    create_spool(path, 400)
    overwrite(path, 0, b"\xff" * PAGE_BYTES)

    ended = ringback("spool", "salvage")

    assert ended.status == 1
    assert "Cannot use the spool" in ended.err
    assert kept_files(path) == []


def test_salvage_accepts_any_path(path: Path, tmp_path: Path, ringback: Ringback) -> None:
    """A backup, for example."""
    (tmp_path / "backup").mkdir()
    backup = tmp_path / "backup" / "spool.sqlite3"
    create_spool(backup, 4)

    assert "4 webhooks restored" in ringback("spool", "salvage", str(backup)).out
    assert (count_in(path), backup.exists()) == (4, True)


def test_discard_deletes_rows_and_files(path: Path, ringback: Ringback) -> None:
    """Rows by number, files by name with all their parts."""
    create_damaged(path)
    kept = path.with_name(f"{path.name}.salvaged-1")
    for suffix in ("", "-wal", "-mark"):
        kept.with_name(f"{kept.name}{suffix}").write_bytes(b"")

    printed = ringback("spool", "discard", "1", kept.name).out

    assert "Deleted 1" in printed
    assert kept_files(path) == []
    left = sorted(one.name for one in path.parent.iterdir())
    assert left == ["lock", path.name, f"{path.name}-mark"]
    assert "damaged" not in ringback("spool", "list").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["discard", "7"], "no damaged row 7"),
        (["discard", "spool.sqlite3"], "no replaced file 'spool.sqlite3'"),
        (["discard", "spool.sqlite3.quarantined-1"], "was not salvaged yet"),
        (["salvage", "gone"], "no file gone"),
        (["list", "--folder", "/nowhere"], "no folder /nowhere"),
    ],
)
def test_errors_are_sentences(
    path: Path, words: list[str], sentence: str, ringback: Ringback
) -> None:
    create_spool(path, 1)
    path.with_name(f"{path.name}.quarantined-1").touch()

    ended = ringback("spool", *words)

    assert ended.status != 0
    assert sentence in ended.error
