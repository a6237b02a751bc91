"""The workflows are valid, pinned and thin: what a step runs is here, and can be run elsewhere."""

# ruff: file-ignore[suspicious-subprocess-import] - The linters are programs.
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import ringback
from tests.architecture.source import ROOT

GITHUB: Final = ROOT / ".github"
WORKFLOWS: Final = sorted((GITHUB / "workflows").glob("*.yml"))
#: An action by its full commit, with the version as a comment for readers and for Dependabot.
PINNED: Final = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

Document = dict[str, Any]


def document(path: Path) -> Document:
    found: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def jobs() -> Iterator[tuple[str, Document]]:
    for path in WORKFLOWS:
        for name, job in document(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def commands(job: Document) -> Iterator[str]:
    """What its steps run, with each value of its matrix."""
    matrix: dict[str, list[str]] = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        for values in itertools.product(*matrix.values()):
            text = step.get("run", "")
            for name, value in zip(matrix, values, strict=True):
                text = text.replace(f"${{{{ matrix.{name} }}}}", value)
            if text:
                yield text


COMMANDS: Final = sorted({text for _, job in jobs() for text in commands(job)})


def findings(program: str, *arguments: str | Path) -> str:
    """What a linter prints if it finds something."""
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, *arguments], check=False, capture_output=True, text=True, cwd=ROOT)
    return (done.stdout + done.stderr) if done.returncode else ""


def schema_findings(schema: str, path: Path) -> str:
    return findings("check-jsonschema", "--builtin-schema", f"vendor.{schema}", path)


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "release", "weekly"}


def test_the_linters_find_nothing() -> None:
    """actionlint, zizmor and the schemas."""
    assert not findings("actionlint")
    assert not findings("zizmor", "--offline", GITHUB)
    for path in WORKFLOWS:
        assert not schema_findings("github-workflows", path)
    assert not schema_findings("dependabot", GITHUB / "dependabot.yml")
    assert not schema_findings("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml"):
        assert not schema_findings("github-issue-forms", path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_little_and_ends(path: Path) -> None:
    """It reads the code; a job names what more it may. Actions are pinned by their commits."""
    found = document(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    uses = [line.strip().removeprefix("- ") for line in lines if "uses:" in line]

    assert found["permissions"] == {"contents": "read"}
    assert found["concurrency"]["group"]
    assert all(0 < job["timeout-minutes"] <= 120 for job in found["jobs"].values())
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


def test_only_a_release_may_write() -> None:
    """It pushes images, and proves to PyPI and to the registry which workflow it is."""
    rights = {name: job["permissions"] for name, job in jobs() if "permissions" in job}

    assert rights == {
        "release/images": {"contents": "read", "packages": "write", "id-token": "write"},
        "release/pypi": {"id-token": "write"},
    }
    for name in rights:
        assert dict(jobs())[name]["environment"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_step_is_one_command_that_exists(command: str) -> None:
    """A make target, which `make -n` knows, or a script, which the shell can read."""
    words = command.split()
    match words:
        case ["make", *arguments]:
            check = ["make", "-n", *arguments]
        case ["sh", script, *_]:
            check = ["sh", "-n", script]
        case _:
            pytest.fail(f"{command!r} is neither a make target nor a script")
    done = subprocess.run(check, check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "\n" not in command


def test_the_scripts_can_be_read() -> None:
    for script in sorted([*ROOT.glob("tests/*/*.sh"), *ROOT.glob("deploy/*/*.sh")]):
        assert not subprocess.run(["sh", "-n", script], check=False).returncode, script


@pytest.mark.parametrize(
    ("script", "fails", "last"),
    [
        ("tests/kind/run.sh", "kubectl apply", "kind delete cluster --name ringback"),
        ("tests/compose/run.sh", " up ", "down --volumes"),
    ],
)
def test_a_smoke_test_that_fails_removes_what_it_started(
    tmp_path: Path, script: str, fails: str, last: str
) -> None:
    """It shows the logs first. The programs only write down how they are called."""
    calls = tmp_path / "calls"
    for name in ("docker", "kind", "kubectl"):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {calls}\n'
            f'case "{name} $* " in *"{fails}"*) exit 7 ;; esac\n'
        )
        program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", script], check=False, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True
    )

    made = calls.read_text(encoding="utf-8").splitlines()
    assert done.returncode == 7, done.stderr
    assert any(" logs " in f"{call} " for call in made)
    assert made[-1].endswith(last)


def test_contributing_lists_every_command() -> None:
    """With where else it runs, and what it needs there."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    wanted = {re.sub(r" (RABBITMQ|PYTEST_ARGS)=\S+", "", command) for command in COMMANDS}

    assert wanted - rows == set()


def test_the_scanned_image_is_of_this_version() -> None:
    scanned = {
        step["with"]["image"]
        for _, job in jobs()
        for step in job["steps"]
        if "scan-action" in step.get("uses", "")
    }

    assert scanned == {f"ringback:{ringback.__version__}"}


def test_the_matrix_has_every_supported_version() -> None:
    """Those of the page and of the metadata; each image of RabbitMQ is a public series."""
    matrix = {name: job.get("strategy", {}).get("matrix", {}) for name, job in jobs()}
    page = (ROOT / "docs" / "supported-versions.md").read_text(encoding="utf-8")

    for part, versions in (
        ("Python", matrix["ci/test"]["python"]),
        ("PostgreSQL", matrix["ci/postgresql"]["version"]),
        ("RabbitMQ", [re.split(r"[:-]", one)[1] for one in matrix["ci/rabbitmq"]["image"]]),
    ):
        [row] = re.findall(rf"^\| {part} \|.*$", page, re.MULTILINE)
        assert [one for one in versions if one not in row] == [], row


def test_every_kind_of_dependency_is_renewed() -> None:
    found = document(GITHUB / "dependabot.yml")["updates"]

    assert {one["package-ecosystem"] for one in found} == {
        *("pip", "npm", "docker", "docker-compose", "github-actions"),
    }
    for one in found:
        for folder in one.get("directories", [one.get("directory")]):
            assert (ROOT / folder.strip("/")).is_dir(), folder


def test_owners_of_existing_folders() -> None:
    lines = (GITHUB / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    paths = [line.split()[0] for line in lines if line and not line.startswith("#")]

    assert "*" in paths
    assert [one for one in paths if one != "*" and not (ROOT / one.strip("/")).exists()] == []
