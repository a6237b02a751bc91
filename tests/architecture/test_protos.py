"""The contract in protos/: its style, its promises to callers, and the code made of it."""

# ruff: file-ignore[suspicious-subprocess-import] - it runs the generator.
import subprocess
from pathlib import Path

import pytest

from tests.architecture.buf_workspace import PROTOS, RELEASED, make_workspace, run_buf
from tests.architecture.source import GENERATED

pytestmark = pytest.mark.slow

SERVICE = "ringback/metrics/v1/metrics_service.proto"


def test_it_is_written_as_buf_asks(tmp_path: Path) -> None:
    make_workspace(tmp_path)

    lint = run_buf(tmp_path, "lint")

    assert not lint.stdout + lint.stderr


def test_it_breaks_nobody_who_calls_the_last_release(tmp_path: Path) -> None:
    """What was released can still be called, in every language; see protos/README.md."""
    make_workspace(tmp_path)

    breaking = run_buf(tmp_path, "breaking", "--against", str(RELEASED))

    assert not breaking.stdout + breaking.stderr


def test_violations_are_found(tmp_path: Path) -> None:
    """Of the rules by a name, and of the last release by a number."""
    protos = make_workspace(tmp_path)
    change(protos / SERVICE, "string range = 1", "string theRange = 15")

    lint = run_buf(tmp_path, "lint")
    breaking = run_buf(tmp_path, "breaking", "--against", str(RELEASED))

    assert "theRange" in lint.stdout
    assert SERVICE in breaking.stdout


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    """What is committed is what `make generate` makes, file by file."""
    subprocess.run(["/bin/sh", PROTOS / "generate.sh", tmp_path], check=True)

    made = contents(tmp_path / "ringback/metrics/v1")
    committed = contents(GENERATED)
    committed.pop("__init__.py", None)
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
