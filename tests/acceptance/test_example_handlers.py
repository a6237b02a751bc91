"""The example project of handlers installs, and its tests and types hold, without a network."""

import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # pip and pytest are programs
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

EXAMPLE = ROOT / "examples" / "handlers-booking"


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheels of Ringback and of the example.

    The packages that they need come from the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("example")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    found = folder / "venv" / "bin" / "python"
    [own] = (folder / "venv" / "lib").glob("python*/site-packages")
    (own / "of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "-q", "-q")
    pip = (sys.executable, "-m", "pip", "--python", found, "install", *offline)
    run(*pip, "--force-reinstall", ROOT, EXAMPLE, cwd=folder)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The tests of the example, where its sources are not."""
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    shutil.copy(EXAMPLE / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.slow
def test_its_tests_pass(python: Path, project: Path) -> None:
    """They use the pytest plugin, and a database for one of them."""
    said = run(python, "-m", "pytest", "-q", cwd=project)

    assert "6 passed" in said


@pytest.mark.slow
def test_its_types_hold(python: Path, project: Path) -> None:
    """Strictly, with the types of the installed Ringback."""
    assert "Success" in run(python, "-m", "mypy", cwd=project)


@pytest.mark.slow
def test_its_handlers_are_without_mistakes(python: Path, tmp_path: Path) -> None:
    ringback = python.with_name("ringback")
    said = run(ringback, "handlers", "check", "booking.hooks", "--strict", cwd=tmp_path)

    assert "booking.hooks.count" in said


@pytest.mark.slow
def test_its_image_has_no_findings() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")

    assert not run(hadolint, "--no-color", EXAMPLE / "Dockerfile", cwd=EXAMPLE)
