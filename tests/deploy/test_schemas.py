"""Every manifest is valid for the API server, or for an operator."""

import copy
import json
from functools import cache

import pytest

from tests.deploy.rendered import COMPONENTS, OVERLAYS, Manifest, component, name_of, overlay
from tests.deploy.schemas import VERSIONS, schema_problems


@cache
def every_manifest() -> tuple[Manifest, ...]:
    """Of all overlays and components, without repetitions."""
    rendered = [overlay(name) for name in OVERLAYS] + [component(name) for name in COMPONENTS]
    return tuple({repr(one): one for manifests in rendered for one in manifests}.values())


def find(name: str) -> Manifest:
    """A manifest of the production overlay, to break."""
    [found] = [one for one in overlay("production") if name_of(one) == name]
    return copy.deepcopy(found)


def test_there_are_manifests_to_validate() -> None:
    """All eight components are among them."""
    assert len(COMPONENTS) == 8
    assert len(every_manifest()) > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    """Strictly: unknown fields and kinds are errors."""
    problems = [text for one in every_manifest() for text in schema_problems(one, version)]

    assert problems == []


def test_no_manifest_is_too_large_to_be_applied() -> None:
    """`kubectl apply` copies it into an annotation, and annotations are limited to 256 KiB."""
    sizes = {name_of(one): len(json.dumps(one)) for one in every_manifest()}

    assert {name: size for name, size in sizes.items() if size > 200 * 1024} == {}


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_an_unknown_field_is_found(version: str) -> None:
    """Kubernetes itself would only warn about it, and drop it."""
    manifest = find("Deployment/processor")
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 60

    assert "terminationGracePeriod" in schema_problems(manifest, version)[0]


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_an_unknown_field_in_an_operators_pod_is_found(version: str) -> None:
    """The overrides of the broker's pods are checked, too."""
    manifest = find("RabbitmqCluster/rabbitmq")
    pod = manifest["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"]
    pod["topologySpread"] = pod.pop("topologySpreadConstraints")

    assert "topologySpread" in schema_problems(manifest, version)[0]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("example.com/v1", "Gateway"), ("apps/v1", "Daemon")],
)
def test_an_unknown_kind_is_found(api_version: str, kind: str) -> None:
    """It could not be applied."""
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": {}}

    assert "unknown kind" in schema_problems(manifest, VERSIONS[0])[0]
