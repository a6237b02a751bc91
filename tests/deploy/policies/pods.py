"""What every pod of ours must say of itself."""

import re
from collections.abc import Iterator

from tests.deploy.rendered import Manifest, Manifests, Workload, workloads

_VERSION = re.compile(r"^[^:@]+:v?\d+(\.\d+)+[-.\w]*(@sha256:[0-9a-f]{64})?$")


def hardening(manifests: Manifests) -> Iterator[str]:
    """What Pod Security `restricted` asks, and a root file system that nobody writes to."""
    for workload in workloads(manifests):
        pod = workload.pod.get("securityContext", {})
        if pod.get("runAsNonRoot") is not True or not pod.get("runAsUser"):
            yield f"{workload.name} may run as root"
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{workload.name} has no profile of seccomp"
        if any(workload.pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{workload.name} shares something with its node"
        if any("hostPath" in volume for volume in workload.pod.get("volumes", [])):
            yield f"{workload.name} mounts a folder of its node"
        for container in workload.all_containers:
            own = container.get("securityContext", {})
            is_hardened = (
                own.get("allowPrivilegeEscalation") is False
                and own.get("readOnlyRootFilesystem") is True
                and own.get("capabilities", {}).get("drop") == ["ALL"]
                and not own.get("capabilities", {}).get("add")
                and not own.get("privileged")
                and own.get("runAsNonRoot") is not False
            )
            if not is_hardened:
                yield f"{workload.name} {container['name']} is not hardened"


def namespaces_are_restricted(manifests: Manifests) -> Iterator[str]:
    """Whoever puts another pod there is held to the same."""
    for manifest in manifests:
        labels = manifest["metadata"].get("labels", {})
        if manifest["kind"] == "Namespace" and (
            labels.get("pod-security.kubernetes.io/enforce") != "restricted"
        ):
            yield f"the namespace {manifest['metadata']['name']} is not restricted"


def without_tokens(manifests: Manifests) -> Iterator[str]:
    """Each has an account of its own, and none can ask the API server."""
    accounts = {
        one["metadata"]["name"]: one.get("automountServiceAccountToken")
        for one in manifests
        if one["kind"] == "ServiceAccount"
    }
    for workload in workloads(manifests):
        account = workload.pod.get("serviceAccountName")
        if accounts.get(account) is not False:
            yield f"{workload.name} has no account of its own without a token"
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} mounts a token"


def without_service_links(manifests: Manifests) -> Iterator[str]:
    """Else a Service `ringback-gateway` would set RINGBACK_GATEWAY_PORT, to a word."""
    for workload in workloads(manifests):
        if workload.pod.get("enableServiceLinks") is not False:
            yield f"{workload.name} gets variables from Services"


def resources(manifests: Manifests) -> Iterator[str]:
    """What the scheduler counts with, and where the memory ends."""
    for workload in workloads(manifests):
        for container in workload.all_containers:
            own = container.get("resources", {})
            if not {"cpu", "memory"} <= set(own.get("requests", {})):
                yield f"{workload.name} {container['name']} requests nothing"
            if "memory" not in own.get("limits", {}):
                yield f"{workload.name} {container['name']} has no limit of memory"


def images(manifests: Manifests) -> Iterator[str]:
    """A version that stays what it is; `latest`, and none, is another one tomorrow."""
    for workload in workloads(manifests):
        for container in workload.all_containers:
            if not _VERSION.match(container["image"]):
                yield f"{workload.name} runs {container['image']}, of no certain version"
    for manifest in manifests:
        spec = manifest.get("spec", {})
        image = spec.get("imageName") or spec.get("image")
        if isinstance(image, str) and not _VERSION.match(image):
            yield f"{manifest['kind']} runs {image}, of no certain version"


def probes(manifests: Manifests) -> Iterator[str]:
    """What is to run all the time is asked whether it lives and whether it takes work."""
    for workload in workloads(manifests):
        if not workload.is_served:
            continue
        for container in workload.containers:
            for kind in ("livenessProbe", "readinessProbe"):
                if kind not in container:
                    yield f"{workload.name} {container['name']} has no {kind}"
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
            yield f"{workload.name} starts anew when its broker is away"
