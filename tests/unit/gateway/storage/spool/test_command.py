"""`ringback spool` with its gateway stopped, and beside a running one."""

from pathlib import Path

import pytest

from ringback.cli.app import run
from services.gateway.storage.spool.database import FolderLock
from services.gateway.storage.spool.file import SpoolFile
from services.gateway.storage.spool.quarantine import State, kept_files
from tests.unit.gateway.storage.spool.damage import (
    PAGE_BYTES,
    ROW_DAMAGES,
    change_row,
    create_spool,
    overwrite,
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINGBACK_SPOOL_DIR", str(tmp_path))
    return tmp_path / "spool.sqlite3"


def ringback(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["spool", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def count_in(path: Path) -> int:
    file = SpoolFile(path)
    file.open()
    count = file.count
    file.close()
    return count


def test_list_shows_waiting_and_damaged_webhooks(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged rows are shown as far as readable, without terminal control characters."""
    written = create_spool(path, 3)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 1)
    change_row(path, "UPDATE spooled SET event_type = '[/x]' || char(27) WHERE seq = ?", 2)
    file = SpoolFile(path)
    file.open()
    file.read_after(0, max_count=10, max_bytes=10**9)
    file.close()

    shown = ringback(capsys, "list")

    assert "1 webhook of" in shown
    assert written[0] in shown
    assert "[/x] " in shown
    assert "\x1b" not in shown
    assert shown.count("checksum does not match") == 2


def test_salvage_replaces_a_damaged_file_and_restores_its_rows(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the gateway stopped; nothing is salvaged twice."""
    create_spool(path, 400)
    overwrite(path, 0, b"\xff" * PAGE_BYTES)

    first = ringback(capsys, "salvage")
    listed = ringback(capsys, "list")
    second = ringback(capsys, "salvage")

    assert "400 webhooks restored" in first
    assert "400 webhooks of" in listed
    assert "salvaged" in listed
    assert "Nothing to salvage" in second
    assert count_in(path) == 400


def test_salvage_works_beside_a_running_gateway(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a replaced file that was not salvaged yet."""
    create_spool(path, 5)
    path.rename(path.with_name(f"{path.name}.quarantined-1"))
    path.with_name(f"{path.name}-mark").unlink()
    create_spool(path, 2)
    lock = FolderLock(path.parent)
    lock.acquire()
    gateway = SpoolFile(path)
    gateway.open()

    instruments = ringback(capsys, "salvage")
    gateway.refresh()
    count = gateway.count
    gateway.close()
    lock.release()

    assert "5 webhooks restored" in instruments
    assert count == 7
    assert [one.state for one in kept_files(path)] == [State.SALVAGED]


def test_a_running_gateway_keeps_its_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway has the damaged file open, and replaces it itself."""
    create_spool(path, 400)
    overwrite(path, 0, b"\xff" * PAGE_BYTES)
    lock = FolderLock(path.parent)
    lock.acquire()

    status = run(["spool", "salvage"])
    lock.release()

    assert status == 1
    assert "Cannot use the spool" in capsys.readouterr().err
    assert kept_files(path) == []


def test_salvage_accepts_any_path(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backup, for example."""
    (tmp_path / "backup").mkdir()
    backup = tmp_path / "backup" / "spool.sqlite3"
    create_spool(backup, 4)

    assert "4 webhooks restored" in ringback(capsys, "salvage", str(backup))
    assert (count_in(path), backup.exists()) == (4, True)


def test_discard_deletes_rows_and_files(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows by number, files by name with all their parts."""
    create_spool(path, 3)
    change_row(path, ROW_DAMAGES["a body cut by a byte"], 1)
    file = SpoolFile(path)
    file.open()
    file.read_after(0, max_count=10, max_bytes=10**9)
    file.close()
    kept = path.with_name(f"{path.name}.salvaged-1")
    for suffix in ("", "-wal", "-mark"):
        kept.with_name(f"{kept.name}{suffix}").write_bytes(b"")

    instruments = ringback(capsys, "discard", "1", kept.name)

    assert "Deleted 1" in instruments
    assert kept_files(path) == []
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "lock",
        path.name,
        f"{path.name}-mark",
    ]
    assert "damaged" not in ringback(capsys, "list")


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
    path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    create_spool(path, 1)
    path.with_name(f"{path.name}.quarantined-1").touch()

    assert run(["spool", *words]) != 0
    assert sentence in " ".join(capsys.readouterr().err.split())
