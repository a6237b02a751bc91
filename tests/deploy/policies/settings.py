"""The environment of a container, and whether its service starts with it."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ringback.cli.client.addresses import Addresses
from ringback.runtime.observability.otel_variables import unusable
from ringback.runtime.process.settings import Settings, SettingsError, load
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.metrics.settings import MetricsSettings
from ringback.services.processor.settings import ProcessorSettings
from tests.deploy.rendered import Manifest, Manifests, Workload, of_kind, selects, workloads

OF_SERVICES: Final[dict[str, type[Settings]]] = {
    "ringback-gateway": GatewaySettings,
    "ringback-processor": ProcessorSettings,
    "ringback-metrics": MetricsSettings,
}
_OF_THE_COMMAND: Final = Addresses
_REFERENCE: Final = re.compile(r"\$\((\w+)\)")
_PATH: Final = re.compile(r"(?:^|=)(/[\w./-]+)")
_OTEL: Final = {
    *("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES")
}

#: Beside the drain: rows, links, pools, spans, and a busy node.
_ENDING_S: Final = 10.0


def kind_of(container: Manifest) -> type[Settings] | None:
    """The settings that one of our containers reads; None for another image."""
    image = container["image"].partition(":")[0]
    return _OF_THE_COMMAND if image == "ringback" else OF_SERVICES.get(image)


def environment(container: Manifest, manifests: Manifests) -> dict[str, str]:
    """As the kubelet builds it. A Secret that is not written out becomes a text of some length."""
    config = {
        one["metadata"]["name"]: one.get("data", {}) for one in of_kind(manifests, "ConfigMap")
    }
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= config.get(source["configMapRef"]["name"], {})
    for variable in container.get("env", []):
        match variable:
            case {"value": str(text)}:
                found[variable["name"]] = expanded(text, found)
            case {"valueFrom": {"configMapKeyRef": reference}}:
                value = config.get(reference["name"], {}).get(reference["key"])
                if value is not None:
                    found[variable["name"]] = value
            case {"valueFrom": {"fieldRef": {"fieldPath": str(path)}}}:
                found[variable["name"]] = path.rpartition(".")[2]
            case {"valueFrom": {"secretKeyRef": reference}} if not reference.get("optional"):
                found[variable["name"]] = _secret(reference, manifests)
    return found


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """Replace `$(…)` by the values; an unknown name is left unchanged."""
    return _REFERENCE.sub(lambda name: environ.get(name[1], name[0]), text)


def _secret(reference: dict[str, Any], manifests: Manifests) -> str:
    for one in of_kind(manifests, "Secret"):
        if one["metadata"]["name"] == reference["name"] and reference["key"] in one["data"]:
            return base64.b64decode(one["data"][reference["key"]]).decode()
    return f"a{reference['key'].replace('-', '')}0123456789abcdefghijklmnopqrstuv"


def _ours(manifests: Manifests) -> Iterator[tuple[Workload, Manifest, type[Settings]]]:
    for workload in workloads(manifests):
        for container in workload.all_containers:
            kind = kind_of(container)
            if kind is not None:
                yield workload, container, kind


def names(manifests: Manifests) -> Iterator[str]:
    """Each variable is a setting of that service, or a part of one, or of OpenTelemetry."""
    every = {
        f"RINGBACK_{name}".upper() for kind in OF_SERVICES.values() for name in kind.model_fields
    }
    for workload, container, kind in _ours(manifests):
        known = {f"RINGBACK_{name}".upper() for name in kind.model_fields} | _OTEL
        parts = {
            part
            for one in container.get("env", [])
            for part in _REFERENCE.findall(one.get("value", ""))
        }
        for name in (one["name"] for one in container.get("env", [])):
            if name not in known | parts:
                yield f"{workload.name} {container['name']} sets {name}, which nobody reads"
        # A shared variable may be the setting of only one of them.
        for name in environment(container, manifests):
            if name not in known | parts | every:
                yield f"{workload.name} {container['name']} gets {name}, which nobody reads"


def values(manifests: Manifests) -> Iterator[str]:
    """Each service, and each command, starts with its environment."""
    for workload, container, kind in _ours(manifests):
        environ = environment(container, manifests)
        arguments = [expanded(text, environ) for text in container.get("args", [])]
        if unresolved := _REFERENCE.findall(" ".join([*environ.values(), *arguments])):
            yield f"{workload.name} {container['name']} names {unresolved[0]} before it is there"
        if kind is _OF_THE_COMMAND:
            environ = {"RINGBACK_GATEWAY_URL": "http://gateway:8080"} | environ
            environ.setdefault("RINGBACK_AMQP_URL", "amqp://unused")
            environ.setdefault("RINGBACK_DATABASE_URL", "postgresql://unused")
        try:
            _load(kind, environ)
        except SettingsError as error:
            yield f"{workload.name} {container['name']}: {error}"
        for name, reason in unusable(environ).items():
            yield f"{workload.name} {container['name']}: {name} {reason}"


def _load(kind: type[Settings], environ: Mapping[str, str]) -> Settings:
    """Load settings without the file of endpoints, which only the cluster has."""
    return load(kind, {**environ, "RINGBACK_ENDPOINTS_FILE": ""})


def grace_periods(manifests: Manifests) -> Iterator[str]:
    """Long enough for the preStop hook, for work in flight, and for closing."""
    for workload, container, kind in _ours(manifests):
        if container not in workload.containers or kind is _OF_THE_COMMAND:
            continue
        settings = _load(kind, environment(container, manifests))
        hook = container.get("lifecycle", {}).get("preStop", {})
        pause_s = hook.get("sleep", {}).get("seconds", 0)
        grace_s = workload.pod.get("terminationGracePeriodSeconds", 30)
        if grace_s < pause_s + _drain_s(settings) + _ENDING_S:
            yield f"{workload.name} is killed before it has ended"
        if _is_behind_a_service(workload, manifests) and not pause_s:
            yield f"{workload.name} refuses what is still sent to it"
        if isinstance(settings, ProcessorSettings) and (
            settings.drain_timeout_s <= settings.attempt_timeout_s
        ):
            yield f"{workload.name} interrupts attempts when it stops"


def _drain_s(settings: Settings) -> float:
    match settings:
        case GatewaySettings():
            return settings.gateway_drain_timeout_s
        case MetricsSettings():
            return settings.metrics_drain_timeout_s
        case ProcessorSettings():
            return settings.drain_timeout_s
        case _:
            raise AssertionError(settings)


def _is_behind_a_service(workload: Workload, manifests: Manifests) -> bool:
    return any(
        selects({"matchLabels": one["spec"]["selector"]}, workload.labels)
        for one in of_kind(manifests, "Service")
    )


def listening(manifests: Manifests) -> Iterator[str]:
    """A container declares the ports on which its service listens by its settings."""
    for workload, container, kind in _ours(manifests):
        if container not in workload.containers or kind is _OF_THE_COMMAND:
            continue
        settings = _load(kind, environment(container, manifests))
        wanted = {value for name, value in settings.model_dump().items() if name.endswith("_port")}
        if {port["containerPort"] for port in container["ports"]} != wanted:
            yield f"{workload.name} shows other ports than {sorted(wanted)}"


def paths(manifests: Manifests) -> Iterator[str]:
    """A file or a folder that a variable names is on a mounted volume."""
    for workload, container, _ in _ours(manifests):
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        for name, text in environment(container, manifests).items():
            for path in _PATH.findall(text):
                if name != "DATABASE_OPTIONS" and not path.startswith(
                    tuple(f"{m}/" for m in mounts)
                ):
                    yield f"{workload.name} {container['name']}: {name} leads to no volume"


def disks(manifests: Manifests) -> Iterator[str]:
    """A service writes only to volumes: its spool is on a persistent one that is large enough."""
    for workload, container, kind in _ours(manifests):
        if kind is not GatewaySettings:
            continue
        settings = _load(kind, environment(container, manifests))
        assert isinstance(settings, GatewaySettings)
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        claims = workload.manifest["spec"].get("volumeClaimTemplates", [])
        sizes = [
            int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3
            for claim in claims
            if str(settings.spool_dir).startswith(f"{mounts.get(claim['metadata']['name'])}/")
        ]
        # SQLite's log may grow as large as its database.
        needed = 2 * settings.spool_bytes + settings.spool_free_bytes
        if not any(size >= needed for size in sizes):
            yield f"{workload.name} has no room for its spool"
