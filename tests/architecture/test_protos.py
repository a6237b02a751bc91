"""The contract in protos/: its style, its promises to callers, and the code made of it."""

# ruff: file-ignore[suspicious-subprocess-import] - it runs the generator.
import subprocess
import sys
from pathlib import Path

import google.api
import pytest

from tests.architecture.source import GENERATED, ROOT

pytestmark = pytest.mark.slow

PROTOS = ROOT / "protos"
SERVICE = "ringback/metrics/v1/metrics_service.proto"
BUF = Path(sys.executable).parent / "buf"
AGAINST = ("--against", "released.binpb")


def test_it_is_written_as_buf_asks(tmp_path: Path) -> None:
    """`buf lint` in its folder, without the network."""
    assert not run_buf(tmp_path, PROTOS, "lint")


def test_it_breaks_nobody_who_calls_the_last_release(tmp_path: Path) -> None:
    """What was released can still be called, in every language; see protos/README.md."""
    assert not run_buf(tmp_path, PROTOS, "breaking", *AGAINST)


def test_files_of_others_are_those_of_the_package() -> None:
    """When the package googleapis-common-protos has newer ones, copy them."""
    package = Path(*google.api.__path__).parent
    third_party = PROTOS / "third_party" / "google"
    files = [path for path in third_party.rglob("*") if path.is_file()]

    assert files
    for copy in files:
        assert copy.read_bytes() == (package / copy.relative_to(third_party)).read_bytes(), copy


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    """What is committed is what `make generate` makes, file by file."""
    subprocess.run(["/bin/sh", PROTOS / "generate.sh", tmp_path], check=True)

    made = contents(tmp_path / "ringback/metrics/v1")
    committed = contents(GENERATED)
    committed.pop("__init__.py", None)
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []
    page = "docs/reference/grpc.md"
    assert (tmp_path / page).read_bytes() == (ROOT / page).read_bytes()


def run_buf(home: Path, folder: Path, *arguments: str) -> str:
    """What buf prints in that folder."""
    done = subprocess.run(
        [BUF, *arguments],
        cwd=folder,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
