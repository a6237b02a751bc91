"""Rules for the manifests beyond the API server's, and tests that each violation is found."""

import copy
from collections.abc import Callable, Iterator

import pytest

from tests.deploy.policies import pods, reach, references, settings
from tests.deploy.rendered import (
    COMPONENTS,
    OVERLAYS,
    Manifest,
    Manifests,
    component,
    name_of,
    overlay,
)

Policy = Callable[[Manifests], Iterator[str]]
Break = Callable[[Manifest], object]


def container(manifest: Manifest) -> Manifest:
    """The first container of its pods."""
    found: Manifest = manifest["spec"]["template"]["spec"]["containers"][0]
    return found


def pod(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def rename_variable(manifest: Manifest, old: str, new: str) -> None:
    [found] = [one for one in container(manifest)["env"] if one["name"] == old]
    found["name"] = new


def secret_key(manifest: Manifest, variable: str, key: str) -> None:
    [found] = [one for one in container(manifest)["env"] if one["name"] == variable]
    found["valueFrom"]["secretKeyRef"]["key"] = key


# fmt: off
BROKEN: tuple[tuple[Policy, str, Break, str], ...] = (
    (pods.namespaces_are_restricted, "Namespace/ringback",
     lambda m: m["metadata"]["labels"].clear(), "not restricted"),
    (pods.without_service_links, "Deployment/metrics", lambda m: pod(m).pop("enableServiceLinks"),
     "variables from Services"),
    (reach.both_families, "Service/gateway", lambda m: m["spec"].pop("ipFamilyPolicy"),
     "the Service gateway has one family"),
    (pods.probes, "Deployment/metrics",
     lambda m: container(m)["readinessProbe"]["grpc"].update(port=50052),
     "a port that is not there"),
    (pods.probes, "Deployment/processor",
     lambda m: container(m)["livenessProbe"]["httpGet"].update(path="/readyz"),
     "its broker is unavailable"),
    (reach.services_of_stateful_sets, "StatefulSet/gateway",
     lambda m: m["spec"].update(serviceName="gateways"), "no Service"),
    (reach.spread, "Deployment/metrics", lambda m: pod(m)["topologySpreadConstraints"].pop(),
     "all in one place"),
    (reach.spread, "StatefulSet/gateway",
     lambda m: pod(m)["topologySpreadConstraints"][0].update(matchLabelKeys=["x"]),
     "may not return"),
    (reach.spread, "StatefulSet/gateway",
     lambda m: m["spec"]["template"]["metadata"]["labels"].update({"app.kubernetes.io/name": "x"}),
     "pods of others"),
    (reach.budgets, "PodDisruptionBudget/processor",
     lambda m: m["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/name": "other"}),
     "0 budgets"),
    (reach.budgets, "PodDisruptionBudget/metrics", lambda m: m["spec"].update(maxUnavailable=0),
     "let one go"),
    (reach.network, "NetworkPolicy/default-deny",
     lambda m: m["spec"].update(policyTypes=["Ingress"]), "is open"),
    (reach.network, "NetworkPolicy/processor",
     lambda m: m["spec"]["podSelector"]["matchLabels"].update({"app.kubernetes.io/name": "x"}),
     "no policy of its own"),
    (reach.network, "NetworkPolicy/metrics", lambda m: m["spec"]["egress"].append({}),
     "open to everybody"),
    (reach.network, "NetworkPolicy/dns", lambda m: m["spec"].pop("egress"), "ask for names"),
    (reach.both_ends, "NetworkPolicy/rabbitmq", lambda m: m["spec"]["ingress"].pop(0),
     "StatefulSet/gateway may not enter rabbitmq by 5672"),
    (reach.both_ends, "NetworkPolicy/postgresql",
     lambda m: m["spec"]["ingress"][0]["ports"][0].update(port=5433),
     "CronJob/housekeeping may not enter postgresql by 5432"),
    (reach.both_ends, "NetworkPolicy/processor",
     # The operator has its own value for this label.
     lambda m: m["spec"]["egress"][1]["to"][0]["podSelector"].update(
         matchLabels={"app.kubernetes.io/component": "postgresql"}
     ), "Deployment/processor reaches nobody by 5432"),
    (reach.selectors, "Deployment/processor",
     lambda m: m["spec"]["template"]["metadata"]["labels"].update({"app.kubernetes.io/name": "x"}),
     "its own pods"),
    (reach.selectors, "Deployment/metrics",
     lambda m: m["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"),
     "pods of another one"),
    (reach.selectors, "NetworkPolicy/setup",
     lambda m: m["spec"]["podSelector"]["matchLabels"].update({"app.kubernetes.io/name": "x"}),
     "chooses nothing"),
    (reach.scalers, "Deployment/processor", lambda m: m["spec"].update(replicas=2),
     "a number of its own"),
    (reach.scalers, "ScaledObject/processor", lambda m: m["spec"].update(minReplicaCount=0),
     "to nothing"),
    (reach.scalers, "HorizontalPodAutoscaler/gateway",
     lambda m: m["spec"]["scaleTargetRef"].update(kind="Deployment"), "scales nothing"),
    (settings.names, "Deployment/processor",
     lambda m: rename_variable(m, "RINGBACK_DATABASE_POOL_MAX", "RINGBACK_POOL_MAX"),
     "RINGBACK_POOL_MAX, which nobody reads"),
    (settings.names, "Deployment/processor",
     lambda m: rename_variable(m, "RINGBACK_DATABASE_POOL_MAX", "RINGBACK_SPOOL_DIR"),
     "RINGBACK_SPOOL_DIR, which nobody reads"),
    (settings.values, "StatefulSet/gateway",
     lambda m: rename_variable(m, "RINGBACK_VAPI_SECRET", "RINGBACK_VAPI_SECRET_PREVIOUS"),
     "RINGBACK_VAPI_SECRET: is required"),
    (settings.values, "ConfigMap/places",
     lambda m: m["data"].update(RINGBACK_RETRY_SCHEDULE="2s,4"), "RINGBACK_RETRY_SCHEDULE"),
    (settings.values, "Deployment/metrics",
     lambda m: rename_variable(m, "BROKER_USER", "BROKER_LOGIN"), "BROKER_USER before it is there"),
    (settings.grace_periods, "Deployment/processor",
     lambda m: pod(m).update(terminationGracePeriodSeconds=30), "killed before"),
    (settings.grace_periods, "StatefulSet/gateway",
     lambda m: container(m)["lifecycle"]["preStop"]["sleep"].update(seconds=20), "killed before"),
    (settings.grace_periods, "Deployment/processor",
     lambda m: container(m)["env"].append({"name": "RINGBACK_DRAIN_TIMEOUT_S", "value": "25"}),
     "interrupts attempts"),
    (settings.grace_periods, "Deployment/metrics", lambda m: container(m).pop("lifecycle"),
     "still sent to it"),
    (settings.listening, "StatefulSet/gateway",
     lambda m: container(m)["ports"][0].update(containerPort=80), "other ports"),
    (settings.paths, "Deployment/metrics", lambda m: container(m)["volumeMounts"].pop(0),
     "RINGBACK_DATABASE_URL leads to no volume"),
    (settings.disks, "StatefulSet/gateway",
     lambda m: m["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"].update(
         storage="1Gi"
     ), "no room"),
    (settings.disks, "StatefulSet/gateway",
     lambda m: container(m)["volumeMounts"][0].update(mountPath="/elsewhere"), "no room"),
    (references.variables, "StatefulSet/gateway",
     lambda m: secret_key(m, "RINGBACK_VAPI_SECRET", "secret"),
     "gateway-secrets secret, which is not there"),
    (references.variables, "ConfigMap/places", lambda m: m["data"].pop("BROKER_HOST"),
     "takes BROKER_HOST"),
    (references.variables, "Deployment/processor",
     lambda m: container(m)["envFrom"][0]["configMapRef"].update(name="settings"),
     "ConfigMap that is not there"),
    (references.files, "Deployment/otel-collector",
     lambda m: pod(m)["volumes"][0]["configMap"].update(name="collector"), "which is not there"),
    (references.files, "Deployment/processor",
     lambda m: pod(m)["volumes"][0]["secret"]["items"][0].update(key="root.crt"), "no such key"),
    (references.files, "Deployment/metrics",
     lambda m: container(m)["volumeMounts"][0].update(name="ca"), "no volume"),
    (references.operators_secrets, "ExternalSecret/autoscaler-broker",
     lambda m: m["spec"]["target"].update(name="keda-broker"),
     "needs the Secret autoscaler-broker"),
    (references.operators_secrets, "Cluster/database",
     lambda m: m["spec"]["managed"]["roles"][-1]["passwordSecret"].update(name="reader"),
     "needs the Secret reader"),
    (references.ports, "Service/metrics", lambda m: m["spec"]["ports"][0].update(targetPort="h2"),
     "has not"),
    (references.ports, "Service/gateway",
     lambda m: m["spec"]["selector"].update({"app.kubernetes.io/component": "gate"}),
     "leads nowhere"),
    (references.ports, "PodMonitor/processor",
     lambda m: m["spec"]["podMetricsEndpoints"][0].update(port="metrics"), "asks a port"),
    (references.ports, "ServiceMonitor/gateway",
     lambda m: m["spec"]["selector"]["matchLabels"].update(ringback="x"), "finds nothing"),
)
# fmt: on

OF_PODS: tuple[Policy, ...] = (
    pods.namespaces_are_restricted,
    pods.without_service_links,
    pods.probes,
    reach.services_of_stateful_sets,
    reach.both_families,
    reach.spread,
    reach.budgets,
    reach.network,
    reach.scalers,
    settings.names,
    settings.values,
    settings.grace_periods,
    settings.listening,
    settings.paths,
    settings.disks,
)
#: For a complete overlay: a component alone names objects of others.
OF_A_WHOLE: tuple[Policy, ...] = (
    reach.selectors,
    reach.both_ends,
    references.variables,
    references.files,
    references.operators_secrets,
    references.ports,
)


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("policy", OF_PODS + OF_A_WHOLE, ids=lambda policy: policy.__name__)
def test_an_overlay_follows_the_policy(policy: Policy, name: str) -> None:
    assert [*policy(overlay(name))] == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_follows_the_policies(name: str) -> None:
    """With only the base: it can be used without the others."""
    manifests = component(name)

    assert [text for policy in OF_PODS for text in policy(manifests)] == []


@pytest.mark.parametrize(
    ("policy", "name", "breaks", "expected"),
    BROKEN,
    ids=[f"{policy.__name__}-{expected}".replace(" ", "_") for policy, _, _, expected in BROKEN],
)
def test_a_violation_is_found(policy: Policy, name: str, breaks: Break, expected: str) -> None:
    """One change in one manifest, and the policy names it."""
    manifests = copy.deepcopy(overlay("production"))
    [broken] = [one for one in manifests if name_of(one) == name]

    breaks(broken)

    assert any(expected in text for text in policy(manifests)), [*policy(manifests)]


def test_each_policy_has_a_violation() -> None:
    """A policy that nothing violates may check nothing."""
    assert {policy for policy, *_ in BROKEN} == {*OF_PODS, *OF_A_WHOLE}
