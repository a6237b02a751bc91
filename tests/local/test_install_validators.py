"""What `install.sh validators` does with and without a registry, with words for an npm."""

# ruff: file-ignore[suspicious-subprocess-import] - running the script is what this file is for.
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = "tests/deploy/validators/package-lock.json"


@dataclass
class Checkout:
    """One with a Node that runs a scripted npm."""

    folder: Path

    def npm(self, script: str) -> None:
        node = self.folder / "wheel/bin/node"
        node.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        node.chmod(0o755)

    def install(self) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", self.folder / "ringback/local/install.sh", "validators"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in ("ringback/local/install.sh", LOCK, "tests/deploy/validators/package.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "wheel/bin").mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho {tmp_path / 'wheel'}\n", encoding="utf-8")
    python.chmod(0o755)
    return Checkout(tmp_path)


def test_they_are_installed_once(checkout: Checkout) -> None:
    """By `npm ci`, which takes what the file pins alone; and again when the file has changed."""
    checkout.npm('echo "$*"')
    first = checkout.install()
    log = (checkout.folder / ".venv/validators/npm.log").read_text(encoding="utf-8")
    checkout.npm("exit 1")
    second = checkout.install()
    (checkout.folder / LOCK).write_text("{}", encoding="utf-8")

    assert first[0] == 0
    assert " ci --ignore-scripts " in log
    assert second == (0, "")
    assert "are skipped" in checkout.install()[1]


def test_without_a_registry_it_reports_that_and_continues(checkout: Checkout) -> None:
    """And asks again the next time."""
    checkout.npm('echo "npm error code ENOTFOUND"; exit 1')

    for exit_code, output in (checkout.install(), checkout.install()):
        assert exit_code == 0
        assert "the tests that need them are skipped" in output


def test_other_files_than_ours_are_a_failure(checkout: Checkout) -> None:
    """They are not skipped: somebody has changed them on their way, or the list of hashes."""
    checkout.npm('echo "npm error code EINTEGRITY"; exit 1')

    exit_code, output = checkout.install()

    assert exit_code == 1
    assert "EINTEGRITY" in output
    assert "are not those that" in output
