"""What selectors, disruption budgets, network policies and scalers select."""

from collections.abc import Iterator

from tests.deploy.policies.operators import operators_pods
from tests.deploy.rendered import Manifest, Manifests, Workload, of_kind, selects, workloads

#: The broker and the database: a pod that may connect to them must be let in there.
_ALWAYS_THERE = {5672, 5432}


def selectors(manifests: Manifests) -> Iterator[str]:
    """A budget or a policy selects existing pods, and a workload selects only its own pods."""
    running = workloads(manifests)
    pods = [*(one.labels for one in running), *operators_pods(manifests)]
    for workload in running:
        selector = workload.manifest["spec"].get("selector")
        if selector and not selects(selector, workload.labels):
            yield f"{workload.name} does not choose its own pods"
        if selector and sum(selects(selector, one.labels) for one in running) > 1:
            yield f"{workload.name} chooses pods of another one"
    for manifest in of_kind(manifests, "PodDisruptionBudget", "NetworkPolicy"):
        spec = manifest["spec"]
        selector = (
            spec["selector"] if manifest["kind"] == "PodDisruptionBudget" else spec["podSelector"]
        )
        if not any(selects(selector, labels) for labels in pods):
            yield f"{manifest['kind']} {manifest['metadata']['name']} chooses nothing"


def spread(manifests: Manifests) -> Iterator[str]:
    """Replicas are spread over zones and nodes, and can always be rescheduled."""
    for workload in workloads(manifests):
        constraints = workload.pod.get("topologySpreadConstraints", [])
        keys = {one["topologyKey"] for one in constraints}
        is_many = workload.manifest["spec"].get("replicas", 2) > 1
        if workload.is_served and is_many and len(keys) < 2:
            yield f"{workload.name} may be all in one place"
        for constraint in constraints:
            if not selects(constraint["labelSelector"], workload.labels):
                yield f"{workload.name} is spread by the pods of others"
            if "volumeClaimTemplates" in workload.manifest["spec"] and (
                "matchLabelKeys" in constraint
            ):
                # A new revision starts counting at zero: the zone of its volume may be full for it.
                yield f"{workload.name} may not return to the zone of its volume"


def services_of_stateful_sets(manifests: Manifests) -> Iterator[str]:
    names = {one["metadata"]["name"] for one in of_kind(manifests, "Service")}
    for one in of_kind(manifests, "StatefulSet"):
        if one["spec"]["serviceName"] not in names:
            yield f"the StatefulSet {one['metadata']['name']} has no Service"


def both_families(manifests: Manifests) -> Iterator[str]:
    """IPv4 and IPv6, where the cluster has both."""
    for one in of_kind(manifests, "Service"):
        if one["spec"].get("ipFamilyPolicy") != "PreferDualStack":
            yield f"the Service {one['metadata']['name']} has one family of addresses"


def budgets(manifests: Manifests) -> Iterator[str]:
    """Draining nodes evicts one of several at a time, and never waits forever."""
    found = [*of_kind(manifests, "PodDisruptionBudget")]
    for workload in workloads(manifests):
        replicas = workload.manifest["spec"].get("replicas", 2)
        if workload.is_served and replicas > 1:
            chosen = [one for one in found if selects(one["spec"]["selector"], workload.labels)]
            if len(chosen) != 1:
                yield f"{workload.name} has {len(chosen)} budgets"
    for one in found:
        if one["spec"].get("maxUnavailable") != 1:
            yield f"the budget {one['metadata']['name']} does not let one go"


def network(manifests: Manifests) -> Iterator[str]:
    """Only what a policy opens is open, both ways, and every pod may resolve names."""
    policies = [*of_kind(manifests, "NetworkPolicy")]
    everybody = [one for one in policies if one["spec"]["podSelector"] == {}]
    if not any(_denies_all(one) for one in everybody):
        yield "what no policy names is open"
    if not any(_opens(one, 53, "UDP") for one in everybody):
        yield "nobody may ask for names"
    for workload in workloads(manifests):
        own = [
            one
            for one in policies
            if one not in everybody and selects(one["spec"]["podSelector"], workload.labels)
        ]
        if len(own) != 1 or {*own[0]["spec"]["policyTypes"]} != {"Ingress", "Egress"}:
            yield f"{workload.name} has no policy of its own, for both ways"
        elif {} in own[0]["spec"].get("ingress", []) or {} in own[0]["spec"].get("egress", []):
            yield f"{workload.name} is open to everybody"


def both_ends(manifests: Manifests) -> Iterator[str]:
    """If one pod may connect to another one of the namespace, the other one lets it in."""
    policies = [
        one for one in of_kind(manifests, "NetworkPolicy") if one["spec"]["podSelector"] != {}
    ]
    running = workloads(manifests)
    pods = [*(one.labels for one in running), *operators_pods(manifests)]
    for workload in running:
        for policy in policies:
            if not selects(policy["spec"]["podSelector"], workload.labels):
                continue
            for rule in policy["spec"].get("egress", []):
                for peer in rule.get("to", []):
                    if "podSelector" in peer and "namespaceSelector" not in peer:
                        reached = [one for one in pods if selects(peer["podSelector"], one)]
                        yield from _arrives(workload, rule, reached, policies)


def _arrives(
    workload: Workload, rule: Manifest, reached: list[dict[str, str]], policies: list[Manifest]
) -> Iterator[str]:
    for port in (one["port"] for one in rule["ports"]):
        if port in _ALWAYS_THERE and not reached:
            yield f"{workload.name} reaches nobody by {port}"
        for labels in reached:
            theirs = [one for one in policies if selects(one["spec"]["podSelector"], labels)]
            entries = [entry for one in theirs for entry in one["spec"]["ingress"]]
            if not any(_takes(entry, workload.labels, port) for entry in entries):
                names = ", ".join(one["metadata"]["name"] for one in theirs)
                yield f"{workload.name} may not enter {names} by {port}"


def _takes(entry: Manifest, labels: dict[str, str], port: int) -> bool:
    peers = entry.get("from")
    is_from = peers is None or any(
        "podSelector" in peer and selects(peer["podSelector"], labels) for peer in peers
    )
    return is_from and any(one.get("port") == port for one in entry.get("ports", [{"port": port}]))


def _denies_all(policy: Manifest) -> bool:
    spec = policy["spec"]
    return {*spec["policyTypes"]} == {"Ingress", "Egress"} and not (
        spec.get("ingress") or spec.get("egress")
    )


def _opens(policy: Manifest, port: int, protocol: str) -> bool:
    return any(
        one.get("port") == port and one.get("protocol", "TCP") == protocol
        for rule in policy["spec"].get("egress", [])
        for one in rule.get("ports", [])
    )


def scalers(manifests: Manifests) -> Iterator[str]:
    """A scaled workload exists, declares no replica count, and is never scaled to zero."""
    targets = {
        (one.manifest["kind"], one.manifest["metadata"]["name"]): one
        for one in workloads(manifests)
    }
    for one in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject"):
        spec, reference = one["spec"], one["spec"]["scaleTargetRef"]
        target = targets.get((reference.get("kind", "Deployment"), reference["name"]))
        if target is None:
            yield f"{one['kind']} scales nothing"
        elif "replicas" in target.manifest["spec"]:
            yield f"{target.name} has a number of its own"
        if spec.get("minReplicas", spec.get("minReplicaCount", 0)) < 1:
            yield f"{one['kind']} {one['metadata']['name']} scales to nothing"
