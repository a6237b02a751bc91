"""The Dockerfile by a linter, and what no linter asks for."""

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the linter is a program
import sys
import tomllib
from pathlib import Path

from tests.architecture.source import ROOT
from tests.support.dockerfile import DOCKERFILE, image, stages

HADOLINT = Path(sys.executable).with_name("hadolint")
TEXT = DOCKERFILE.read_text(encoding="utf-8")
STAGES = stages(TEXT)


def test_hadolint_finds_nothing() -> None:
    command = [str(HADOLINT), "--no-color", str(DOCKERFILE)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (found.returncode, found.stdout) == (0, "")


def test_the_base_is_an_argument_with_a_tag() -> None:
    """Every stage that begins with an image uses it, and it is not `latest`."""
    bases = {stage.base for stage in STAGES.values() if stage.base not in STAGES}
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", TEXT, re.MULTILINE)

    assert bases == {"${PYTHON_IMAGE}"}
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", default)


def test_pip_installs_only_pinned_packages() -> None:
    """By hash, or our own wheel without an index."""
    commands = [
        command
        for stage in STAGES.values()
        for step in stage.steps
        if step.instruction == "RUN"
        for command in step.value.split("&&")
        if re.search(r"\bpip\b.* (install|wheel) ", command)
    ]

    assert len(commands) == 4
    for command in commands:
        assert "--require-hashes" in command or "--no-index" in command, command


def test_the_gateways_image_has_the_command() -> None:
    """`kubectl exec gateway-0 -- ringback spool list` needs it where the disk is."""
    path = image(STAGES, "gateway").env["PATH"].split(":")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "scripts"
    ]

    assert path[0] == "/opt/ringback/bin"
    assert "ringback" in scripts


def test_the_final_stages_only_copy() -> None:
    """No shell is needed to build or to run them."""
    for name in STAGES.keys() - {"build"}:
        instructions = {step.instruction for step in STAGES[name].steps}
        assert "RUN" not in instructions
        assert "ADD" not in instructions
