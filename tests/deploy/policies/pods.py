"""Rules for pods that no general scanner checks."""

from collections.abc import Iterator

from tests.deploy.rendered import Manifest, Manifests, Workload, workloads


def namespaces_are_restricted(manifests: Manifests) -> Iterator[str]:
    """The API server then refuses any pod that is not restricted."""
    for manifest in manifests:
        labels = manifest["metadata"].get("labels", {})
        if manifest["kind"] == "Namespace" and (
            labels.get("pod-security.kubernetes.io/enforce") != "restricted"
        ):
            yield f"the namespace {manifest['metadata']['name']} is not restricted"


def without_service_links(manifests: Manifests) -> Iterator[str]:
    """Otherwise a Service `ringback-gateway` would set RINGBACK_GATEWAY_PORT to a URL."""
    for workload in workloads(manifests):
        if workload.pod.get("enableServiceLinks") is not False:
            yield f"{workload.name} gets variables from Services"


def probes(manifests: Manifests) -> Iterator[str]:
    """A probe uses a port of its container; liveness does not depend on the broker."""
    for workload in workloads(manifests):
        for container in workload.containers if workload.is_served else ():
            yield from _probe_ports(workload, container)


def _probe_ports(workload: Workload, container: Manifest) -> Iterator[str]:
    ports = container.get("ports", [])
    known = {port["name"] for port in ports} | {port["containerPort"] for port in ports}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind, {})
        for way in ("httpGet", "tcpSocket", "grpc"):
            if way in probe and probe[way]["port"] not in known:
                yield f"{workload.name} {kind} asks a port that is not there"
        if "httpGet" in probe and kind == "livenessProbe" and probe["httpGet"]["path"] == "/readyz":
            yield f"{workload.name} restarts when its broker is unavailable"
