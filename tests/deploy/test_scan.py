"""The manifests pass a maintained scanner, checkov."""

# ruff: file-ignore[suspicious-subprocess-import] - The scanner is a program.
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.rendered import COMPONENTS, OVERLAYS, Manifests, component, overlay

CHECKOV: Final = Path(sys.prefix) / "scanner" / "bin" / "checkov"

#: The checks that these manifests deliberately do not follow.
EXCEPT: Final = {
    "CKV_K8S_11": "a CPU limit throttles a service that has work while the node is idle",
    "CKV_K8S_15": "a version tag does not change; a node with the image needs no registry",
    "CKV_K8S_35": "the services read their settings from the environment",
    "CKV_K8S_40": "the database and broker images of the dev overlay have users of their own",
    "CKV_K8S_43": "a digest in a file grows old unseen; a release pins it when it is built",
}


def failures(folder: Path, manifests: Manifests) -> tuple[list[str], int]:
    """Return what the scanner refuses, and how many checks passed."""
    text = yaml.safe_dump_all(manifests)
    (folder / "manifests.yaml").write_text(text, encoding="utf-8")
    words = ["--framework", "kubernetes", "--output", "json", "--skip-download"]
    done = subprocess.run(
        [CHECKOV, "-f", folder / "manifests.yaml", *words, "--skip-check", ",".join(EXCEPT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    failed = found["results"]["failed_checks"]
    texts = [f"{one['resource']}: {one['check_id']} {one['check_name']}" for one in failed]
    return texts, found["summary"]["passed"]


def distinct(parts: list[Manifests]) -> Manifests:
    return tuple({repr(one): one for manifests in parts for one in manifests}.values())


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_passes_the_scanner(tmp_path: Path, name: str) -> None:
    refused, passed = failures(tmp_path, overlay(name))

    assert refused == []
    assert passed > 300


def test_the_components_pass_the_scanner(tmp_path: Path) -> None:
    refused, _ = failures(tmp_path, distinct([component(name) for name in COMPONENTS]))

    assert refused == []
