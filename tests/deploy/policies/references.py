"""Everything that a manifest names exists."""

from collections.abc import Iterator
from typing import Any

from tests.deploy.policies.operators import operators_pods
from tests.deploy.rendered import Manifest, Manifests, Workload, of_kind, selects, workloads

#: Created by operators, with their keys.
MADE_IN_THE_CLUSTER = {
    # By CloudNativePG, from the Cluster `database`.
    "database-ca": {"ca.crt"},
    # By cert-manager, for the Ingress.
    "webhooks-tls": {"tls.crt", "tls.key"},
}

Keys = dict[str, set[str]]


def config_maps(manifests: Manifests) -> Keys:
    return {
        one["metadata"]["name"]: set(one.get("data", {})) for one in of_kind(manifests, "ConfigMap")
    }


def secrets(manifests: Manifests) -> Keys:
    """Those that are written out, and those that come from a store."""
    found = {
        one["metadata"]["name"]: set(one.get("data", {})) for one in of_kind(manifests, "Secret")
    }
    for one in of_kind(manifests, "ExternalSecret"):
        spec = one["spec"]
        found[spec["target"]["name"]] = {item["secretKey"] for item in spec["data"]}
    return found | MADE_IN_THE_CLUSTER


def variables(manifests: Manifests) -> Iterator[str]:
    """Each key of a ConfigMap or Secret that a variable uses exists, unless it is optional."""
    there = {"configMapKeyRef": config_maps(manifests), "secretKeyRef": secrets(manifests)}
    for workload in workloads(manifests):
        for name, kind, reference in _taken(workload):
            if reference["key"] not in there[kind].get(reference["name"], set()):
                yield (
                    f"{workload.name} takes {name} from {reference['name']} {reference['key']}, "
                    "which is not there"
                )
        for container in workload.all_containers:
            for source in container.get("envFrom", []):
                if source["configMapRef"]["name"] not in there["configMapKeyRef"]:
                    yield f"{workload.name} reads a ConfigMap that is not there"


def _taken(workload: Workload) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The required variables with a source, and their sources."""
    for container in workload.all_containers:
        for variable in container.get("env", []):
            for kind, reference in variable.get("valueFrom", {}).items():
                if kind != "fieldRef" and not reference.get("optional"):
                    yield variable["name"], kind, reference


def files(manifests: Manifests) -> Iterator[str]:
    """Each volume that is mounted, and each ConfigMap and Secret that a volume uses, exists."""
    for workload in workloads(manifests):
        volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
        claims = workload.manifest["spec"].get("volumeClaimTemplates", [])
        known = set(volumes) | {claim["metadata"]["name"] for claim in claims}
        mounted = set()
        for container in workload.all_containers:
            for mount in container.get("volumeMounts", []):
                mounted.add(mount["name"])
                if mount["name"] not in known:
                    yield f"{workload.name} mounts {mount['name']}, which is no volume"
        for unused in sorted(known - mounted):
            yield f"{workload.name} mounts {unused} nowhere"
        for volume in volumes.values():
            yield from _volume_source(workload, volume, manifests)


def _volume_source(workload: Workload, volume: Manifest, manifests: Manifests) -> Iterator[str]:
    for kind, name_field, there in (
        ("configMap", "name", config_maps(manifests)),
        ("secret", "secretName", secrets(manifests)),
    ):
        source: dict[str, Any] | None = volume.get(kind)
        if source is None:
            continue
        name = source[name_field]
        if name not in there:
            yield f"{workload.name} mounts the {kind} {name}, which is not there"
            continue
        for item in source.get("items", []):
            if item["key"] not in there[name]:
                yield f"{workload.name} mounts {item['key']} of {name}, which has no such key"


def operators_secrets(manifests: Manifests) -> Iterator[str]:
    """Secrets named by operators' objects exist, with the keys that the operator needs."""
    there = secrets(manifests)
    for owner, name, keys in _asked_by_operators(manifests):
        if not keys <= there.get(name, set()):
            yield f"{owner} needs the Secret {name} with {', '.join(sorted(keys))}"


def _asked_by_operators(manifests: Manifests) -> Iterator[tuple[str, str, set[str]]]:
    login = {"username", "password"}
    for one in manifests:
        spec, owner = one.get("spec", {}), f"{one['kind']}/{one['metadata']['name']}"
        match one["kind"]:
            case "User":
                yield owner, spec["importCredentialsSecret"]["name"], login
            case "Cluster":
                for name in _of_cluster(spec):
                    yield owner, name, login
            case "ObjectStore":
                keys = spec["configuration"]["s3Credentials"].values()
                yield from ((owner, key["name"], {key["key"]}) for key in keys)
            case "TriggerAuthentication":
                targets = spec["secretTargetRef"]
                yield from ((owner, target["name"], {target["key"]}) for target in targets)


def _of_cluster(spec: Manifest) -> Iterator[str]:
    yield spec["bootstrap"]["initdb"]["secret"]["name"]
    for role in spec["managed"]["roles"]:
        if role["login"]:
            yield role["passwordSecret"]["name"]


def ports(manifests: Manifests) -> Iterator[str]:
    """Each port that a Service, an Ingress or a monitor names exists in its target."""
    for service in of_kind(manifests, "Service"):
        yield from _ports_of_service(service, workloads(manifests))
    for ingress in of_kind(manifests, "Ingress"):
        for backend in _backends(ingress):
            if (backend["name"], backend["port"]["name"]) not in _service_ports(manifests):
                yield f"the Ingress {ingress['metadata']['name']} leads to no Service"
    yield from _monitored_ports(manifests)


def _ports_of_service(service: Manifest, running: list[Workload]) -> Iterator[str]:
    name, selector = service["metadata"]["name"], {"matchLabels": service["spec"]["selector"]}
    targets = [one for one in running if selects(selector, one.labels)]
    if not targets:
        yield f"the Service {name} leads nowhere"
    for port in service["spec"]["ports"]:
        for target in targets:
            if port["targetPort"] not in _container_ports(target):
                yield f"the Service {name} leads to a port that {target.name} has not"


def _monitored_ports(manifests: Manifests) -> Iterator[str]:
    for monitor in of_kind(manifests, "ServiceMonitor"):
        chosen = [
            one
            for one in of_kind(manifests, "Service")
            if selects(monitor["spec"]["selector"], one["metadata"].get("labels", {}))
        ]
        names = {port["name"] for one in chosen for port in one["spec"]["ports"]}
        if not chosen or any(one["port"] not in names for one in monitor["spec"]["endpoints"]):
            yield f"the ServiceMonitor {monitor['metadata']['name']} finds nothing"
    for monitor in of_kind(manifests, "PodMonitor"):
        spec = monitor["spec"]
        chosen_pods = [one for one in workloads(manifests) if selects(spec["selector"], one.labels)]
        made = any(selects(spec["selector"], one) for one in operators_pods(manifests))
        if not chosen_pods and not made:
            yield f"the PodMonitor {monitor['metadata']['name']} finds nothing"
        for pod in chosen_pods:
            if any(one["port"] not in _container_ports(pod) for one in spec["podMetricsEndpoints"]):
                yield f"the PodMonitor {monitor['metadata']['name']} asks a port that is not there"


def _container_ports(workload: Workload) -> set[str | int]:
    found: set[str | int] = set()
    for container in workload.containers:
        for port in container.get("ports", []):
            found |= {port["name"], port["containerPort"]}
    return found


def _backends(ingress: Manifest) -> Iterator[Manifest]:
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            yield path["backend"]["service"]


def _service_ports(manifests: Manifests) -> set[tuple[str, str]]:
    return {
        (one["metadata"]["name"], port["name"])
        for one in of_kind(manifests, "Service")
        for port in one["spec"]["ports"]
    }
