"""What counts as a change of handlers, and where their files are."""

import sys
from pathlib import Path

import pytest

from ringback.local.reload import ChangeWatch, handler_files


def test_a_change_counts_once_the_files_stay_the_same(tmp_path: Path) -> None:
    """Changed, new and removed files count, each once; other files do not."""
    (tmp_path / "hooks.py").write_text("one", "utf-8")
    watch = ChangeWatch([tmp_path])

    seen = [watch.has_changed()]
    for change in ("two!", "three"):
        (tmp_path / "hooks.py").write_text(change, "utf-8")
        seen.append(watch.has_changed())
    seen += [watch.has_changed(), watch.has_changed()]
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "more.py").touch()
    (tmp_path / "notes.txt").touch()
    seen += [watch.has_changed(), watch.has_changed()]
    (tmp_path / "inner" / "more.py").unlink()
    (tmp_path / "notes.txt").unlink()
    seen += [watch.has_changed(), watch.has_changed()]

    assert seen == [False, False, False, True, False, False, True, False, True]


def test_files_are_found_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current folder and in PYTHONPATH; packages count as a whole, installed ones do not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "single.py").write_text("1 / 0", "utf-8")
    package = tmp_path / "elsewhere" / "shop_of_files"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("1 / 0", "utf-8")

    found = handler_files(
        "single, shop_of_files.hooks,shop_of_files.more,absent.module,pytest",
        {"PYTHONPATH": str(tmp_path / "elsewhere")},
    )

    assert found == [tmp_path / "single.py", package]
    assert not {"single", "shop_of_files"} & set(sys.modules)
