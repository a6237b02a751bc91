"""Every manifest is valid for the API server, or for an operator."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
from referencing import Registry, Resource

from tests.deploy.rendered import Manifest, every_manifest, name_of

VERSIONS: Final = tuple(f"1.{minor}" for minor in range(30, 38))
_POD: Final = "https://kubernetes.io/api/_definitions.json#/$defs/io.k8s.api.core.v1.PodSpec"
#: Groups whose schemas come from their operators, not from Kubernetes.
_OPERATORS: Final = frozenset(
    {
        *("barmancloud.cnpg.io", "external-secrets.io", "keda.sh", "monitoring.coreos.com"),
        *("postgresql.cnpg.io", "rabbitmq.com"),
    }
)


def schema_problems(manifest: Manifest, version: str) -> list[str]:
    """Return what is wrong with a manifest in this version of Kubernetes, or its unknown kind.

    Of an operator's object only the pods in it are checked.
    """
    if manifest["apiVersion"].partition("/")[0] in _OPERATORS:
        errors = _pod_errors(manifest, version)
    else:
        validator = _kubernetes(version, manifest["apiVersion"], manifest["kind"])
        if validator is None:
            return [
                f"{name_of(manifest)}: unknown kind {manifest['apiVersion']} {manifest['kind']}"
            ]
        errors = [*validator.iter_errors(manifest)]
    return [f"{name_of(manifest)} in {version}: {one.json_path}: {one.message}" for one in errors]


def _pod_errors(manifest: Manifest, version: str) -> list[jsonschema.ValidationError]:
    """Check the pod templates inside an operator's object."""
    match manifest:
        case {"spec": {"override": {"statefulSet": {"spec": {"template": {"spec": pod}}}}}}:
            pass
        case {"kind": "Pooler", "spec": {"template": {"spec": pod}}}:
            pass
        case _:
            return []
    schema = {"$ref": _POD}
    return [
        *jsonschema.Draft202012Validator(schema, registry=_definitions(version)).iter_errors(pod)
    ]


@cache
def _kubernetes(
    version: str, api_version: str, kind: str
) -> jsonschema.Draft202012Validator | None:
    """Like kubernetes_validate, which reads its files again for each object."""
    group, _, rest = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], rest]))
    path = _kubernetes_schemas(version) / f"{name}.json"
    if not path.is_file():
        return None
    schema = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    text = (_kubernetes_schemas(version) / "_definitions.json").read_text(encoding="utf-8")
    definitions: Resource[Any] = Resource.from_contents(json.loads(text))
    registry: Registry[Any] = definitions @ Registry()
    return registry


def _kubernetes_schemas(version: str) -> Path:
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
    return folder / f"v{version}.0-local-strict"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    """Strictly: unknown fields and kinds are errors."""
    problems = [text for one in every_manifest() for text in schema_problems(one, version)]

    assert problems == []


def test_no_manifest_is_too_large_to_be_applied() -> None:
    """`kubectl apply` copies it into an annotation, and annotations are limited to 256 KiB."""
    sizes = {name_of(one): len(json.dumps(one)) for one in every_manifest()}

    assert {name: size for name, size in sizes.items() if size > 200 * 1024} == {}
