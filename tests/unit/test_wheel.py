"""What a program gets from `pip install ringback`, without a checkout and without extras."""

import re
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # what builds and installs are programs
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

import ringback
from tests.architecture.source import ROOT

PROGRAM = Path(__file__).with_name("installed_program.py")
PINNED = re.compile(r"^([a-z0-9-]+)==([\w.]+)", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, check=False, capture_output=True, text=True, env={})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    done = run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"ringback-{ringback.__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and what requirements/base.txt pins.

    The pinned packages are copies of those of this environment, so that no index is asked.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    [packages] = folder.glob("lib/python*/site-packages")
    for name, version in pins("base"):
        found = distribution(name)
        assert found.version == version, name
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(found.locate_file(file)), packages / file)
    made = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", made)
    done = run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return made


def pins(name: str) -> list[tuple[str, str]]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return PINNED.findall(text)


def names(built: Path) -> Iterator[tuple[str, str]]:
    """The names in both archives, each with its archive."""
    for archive in built.iterdir():
        if archive.suffix == ".whl":
            yield from ((archive.name, one) for one in zipfile.ZipFile(archive).namelist())
        else:
            with tarfile.open(archive) as opened:
                yield from ((archive.name, one.partition("/")[2]) for one in opened.getnames())


def test_only_ringback_lands_at_the_top(wheel: Path) -> None:
    """Beside it are its metadata, with the licence; no test, no benchmark, no script."""
    found = zipfile.ZipFile(wheel).namelist()
    metadata = f"ringback-{ringback.__version__}.dist-info"

    assert {one.partition("/")[0] for one in found} == {"ringback", metadata}
    assert f"{metadata}/licenses/LICENSE" in found
    assert "ringback/py.typed" in found
    assert not [one for one in found if one.endswith(".sh") or "test_" in one]


def test_the_wheel_has_every_file_of_the_package(built: Path) -> None:
    """So does the sdist, which also has what builds the wheel."""
    tracked = run("git", "ls-files", "ringback", cwd=ROOT).stdout.split()
    found = set(names(built))
    [sdist] = {archive for archive, _ in found if archive.endswith(".tar.gz")}
    [wheel] = {archive for archive, _ in found if archive.endswith(".whl")}

    assert tracked
    assert [one for one in tracked if (wheel, one) not in found] == ["ringback/local/install.sh"]
    for name in (*tracked, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        assert (sdist, name) in found


@pytest.mark.slow
def test_a_plain_installation_needs_only_the_base(python: Path) -> None:
    """`pip check` finds what the metadata require and what is missing."""
    done = run(sys.executable, "-m", "pip", "--python", python, "check", cwd=python.parent)

    assert (done.returncode, done.stdout) == (0, "No broken requirements found.\n")


@pytest.mark.slow
def test_what_others_import_works(python: Path) -> None:
    done = run(python, PROGRAM, cwd=python.parent)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "MetricsClient dead_jobs book\ncompleted\n"


@pytest.mark.slow
def test_its_types_are_checked(python: Path, tmp_path: Path) -> None:
    """A handler and a client pass `mypy --strict`, and a wrong argument is an error."""
    wrong = tmp_path / "wrong.py"
    text = PROGRAM.read_text(encoding="utf-8")
    wrong.write_text(text.replace("event.call_id", "event.call_identity"), encoding="utf-8")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path)

    found = run(*mypy, "--python-executable", python, PROGRAM, wrong, cwd=tmp_path)

    assert [line for line in found.stdout.splitlines() if "installed_program" in line] == []
    assert '"Event" has no attribute "call_identity"' in found.stdout


@pytest.mark.slow
def test_the_command_names_the_extra_that_it_needs(python: Path) -> None:
    """In one sentence, without a traceback."""
    done = run(python.with_name("ringback"), "--help", cwd=python.parent)

    assert done.returncode == 1
    assert 'run `pip install "ringback[server]"`' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["base", "run", "local"])
def test_every_file_of_pins_has_the_same_versions(name: str) -> None:
    """What is tested with `dev` is what is installed."""
    assert set(pins(name)) <= set(pins("dev"))


def test_the_metadata_name_the_licence() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
