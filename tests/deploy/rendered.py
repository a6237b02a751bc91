"""The manifests that kustomize renders."""

# ruff: file-ignore[suspicious-subprocess-import] - kubectl is a program.
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.architecture.source import ROOT

K8S: Final = ROOT / "deploy" / "k8s"
OVERLAYS: Final = ("dev", "production")
COMPONENTS: Final = tuple(
    sorted(path.parent.name for path in K8S.glob("components/*/kustom*.yaml"))
)

Manifest = dict[str, Any]
Manifests = tuple[Manifest, ...]

_KUBECTL = Path(sys.executable).parent / "kubectl"


@cache
def overlay(name: str) -> Manifests:
    """An overlay as it is applied. The result is cached: do not change it."""
    return built(K8S / "overlays" / name)


@cache
def component(name: str) -> Manifests:
    """The base with one component, which has to work without the others."""
    with tempfile.TemporaryDirectory(prefix="ringback-k8s-") as folder:
        # kustomize accepts no absolute path, and no path through a link.
        here = Path(folder).resolve()
        document = {
            "namespace": "ringback",
            "resources": [os.path.relpath(K8S / "base", here)],
            "components": [os.path.relpath(K8S / "components" / name, here)],
        }
        (here / "kustomization.yaml").write_text(json.dumps(document), encoding="utf-8")
        return built(here)


@cache
def every_manifest() -> Manifests:
    """Of all overlays and components, without repetitions."""
    rendered = [*map(overlay, OVERLAYS), *map(component, COMPONENTS)]
    return tuple({repr(one): one for manifests in rendered for one in manifests}.values())


def built(folder: Path) -> Manifests:
    done = subprocess.run(
        [_KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(document for document in yaml.load_all(done.stdout, loader) if document)


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def of_kind(manifests: Iterable[Manifest], *kinds: str) -> Iterator[Manifest]:
    return (manifest for manifest in manifests if manifest["kind"] in kinds)


@dataclass(frozen=True)
class Workload:
    """Any object that runs pods."""

    manifest: Manifest
    template: dict[str, Any]

    @property
    def name(self) -> str:
        return name_of(self.manifest)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its pods."""
        labels: dict[str, str] = self.template["metadata"].get("labels", {})
        return labels

    @property
    def pod(self) -> dict[str, Any]:
        pod: dict[str, Any] = self.template["spec"]
        return pod

    @property
    def containers(self) -> list[dict[str, Any]]:
        containers: list[dict[str, Any]] = self.pod["containers"]
        return containers

    @property
    def all_containers(self) -> list[dict[str, Any]]:
        return [*self.pod.get("initContainers", []), *self.containers]

    @property
    def is_served(self) -> bool:
        """Whether it runs all the time."""
        return self.manifest["kind"] in {"Deployment", "StatefulSet"}


def workloads(manifests: Iterable[Manifest]) -> list[Workload]:
    found = []
    for manifest in manifests:
        match manifest:
            case {"kind": "Deployment" | "StatefulSet" | "Job" | "DaemonSet"}:
                found.append(Workload(manifest, manifest["spec"]["template"]))
            case {"kind": "CronJob"}:
                job = manifest["spec"]["jobTemplate"]
                found.append(Workload(manifest, job["spec"]["template"]))
    return found


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches these labels; ours use only `matchLabels`."""
    assert set(selector) <= {"matchLabels"}, selector
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())
