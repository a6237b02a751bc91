"""Whether the API server would understand a manifest, in each version of Kubernetes."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

from tests.deploy.rendered import Manifest, name_of

VERSIONS: Final = tuple(f"1.{minor}" for minor in range(30, 38))
_POD: Final = "https://kubernetes.io/api/_definitions.json#/$defs/io.k8s.api.core.v1.PodSpec"
_CRD: Final = Path(__file__).parent / "crd"
_METADATA: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def schema_problems(manifest: Manifest, version: str) -> list[str]:
    """What is wrong with it, by the schemas of that Kubernetes, else by those of the operators.

    A kind that neither knows is wrong.
    """
    custom = custom_schema(manifest["apiVersion"], manifest["kind"])
    if custom is not None:
        found = [*jsonschema.Draft202012Validator(custom).iter_errors(manifest)]
        found += _pod_errors(manifest, version)
        return [f"{name_of(manifest)} {error.json_path}: {error.message}" for error in found]
    validator = _kubernetes(version, manifest["apiVersion"], manifest["kind"])
    if validator is None:
        return [f"{name_of(manifest)}: nobody knows {manifest['apiVersion']} {manifest['kind']}"]
    errors = validator.iter_errors(manifest)
    return [f"{name_of(manifest)} in {version}: {one.json_path}: {one.message}" for one in errors]


def _pod_errors(manifest: Manifest, version: str) -> list[jsonschema.ValidationError]:
    """Of the pods that an operator is to make, which are those of Kubernetes."""
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
    """As kubernetes_validate has it, which reads its files anew for each object."""
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


@cache
def custom_schema(api_version: str, kind: str) -> dict[str, Any] | None:
    """The schema of an operator's object; None for a kind of Kubernetes, and for a strange one."""
    path = _CRD / f"{api_version.partition('/')[0]}.yaml"
    if not path.is_file():
        return None
    specs = yaml.safe_load(path.read_text(encoding="utf-8"))
    if kind not in specs:
        return None
    whole = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"const": kind},
            "metadata": _METADATA,
            "spec": specs[kind],
        },
    }
    closed = _closed(whole)
    assert isinstance(closed, dict)
    return closed


def _closed(schema: Any) -> Any:
    """With no property but those that are named, unless it says otherwise."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        inner.setdefault("additionalProperties", False)
    return inner
