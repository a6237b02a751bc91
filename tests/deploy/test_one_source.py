"""Repeated facts are copied from their source, or compared with it."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import ringback
from deploy.k8s.generate import HERE, RULES, generated
from ringback.contract.telemetry.spans import Attribute, Span
from ringback.contract.topology import BULK_QUEUE, WORK_QUEUE
from ringback.runtime.process.settings import load
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.metrics.settings import MetricsSettings
from ringback.services.processor.settings import ProcessorSettings
from tests.architecture.source import ROOT
from tests.deploy.policies.settings import OF_SERVICES, environment, kind_of
from tests.deploy.rendered import (
    COMPONENTS,
    OVERLAYS,
    Manifests,
    built,
    component,
    of_kind,
    overlay,
    workloads,
)
from tests.support.database_roles import CALLERS, METRICS, ROLES

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"


def test_generated_files_are_up_to_date() -> None:
    """`make generate` regenerates them."""
    for name, text in generated().items():
        assert (HERE / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("name", OVERLAYS)
def test_images_and_job_have_the_current_version(name: str) -> None:
    """The job is named by the version, because it runs once per version."""
    manifests = overlay(name)
    images = {
        one["image"]
        for workload in workloads(manifests)
        for one in workload.all_containers
        if kind_of(one)
    }

    assert images == {f"{image}:{ringback.__version__}" for image in ("ringback", *OF_SERVICES)}
    [job] = of_kind(manifests, "Job")
    assert job["metadata"]["name"] == f"setup-{ringback.__version__.replace('.', '-')}"
    assert job["metadata"]["labels"]["app.kubernetes.io/version"] == ringback.__version__


def test_the_overlay_of_the_guide_can_be_built(tmp_path: Path) -> None:
    """Its URL names this version; here, a folder takes the place of the remote base."""
    guide = (ROOT / "docs" / "how-to" / "install-on-a-cluster.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^ *```yaml\n(.+?)^ *```", guide, re.MULTILINE | re.DOTALL)
    document = yaml.safe_load(text)
    [url] = document["resources"]
    repository, folder, version = re.fullmatch(r"(https://.+?)//(.+)\?ref=v(.+)", url).groups()  # type: ignore[union-attr]  # or it fails
    local = os.path.relpath(ROOT / folder, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document | {"resources": [local]}))

    manifests = built(tmp_path.resolve())

    assert repository == "https://github.com/ringback/ringback"
    assert version == ringback.__version__
    images = {one["image"] for pod in workloads(manifests) for one in pod.all_containers}
    ours = {image for image in images if "ringback" in image}
    assert ours == {f"registry.example.com/{name}:{version}" for name in ("ringback", *OF_SERVICES)}
    assert len(manifests) == len(overlay("production"))


def test_other_projects_have_the_versions_of_compose() -> None:
    """One machine and a cluster run the same versions, down to the last number."""
    compose = yaml.safe_load((ROOT / "deploy" / "docker" / "compose.yaml").read_text("utf-8"))
    known = dict(
        one["image"].rsplit(":", 1) for one in compose["services"].values() if "image" in one
    )
    [database] = of_kind(overlay("production"), "Cluster")
    [broker] = of_kind(overlay("production"), "RabbitmqCluster")
    [collector] = [one for one in workloads(overlay("production")) if "otel" in one.name]
    dev = {one.name: one.containers[0]["image"] for one in workloads(overlay("dev"))}

    rabbitmq = f"rabbitmq:{known['rabbitmq']}"
    assert broker["spec"]["image"] == dev["StatefulSet/rabbitmq"] == rabbitmq
    assert dev["StatefulSet/postgresql"] == f"postgres:{known['postgres']}"
    assert f":{known['postgres']}-" in database["spec"]["imageName"]
    name, _, version = collector.containers[0]["image"].rpartition(":")
    assert version == known[name]


def test_the_brokers_limits_fit_the_services() -> None:
    """The largest body with its headers, and the longest attempt with the wait for a database."""
    [broker] = of_kind(overlay("production"), "RabbitmqCluster")
    lines = broker["spec"]["rabbitmq"]["additionalConfig"].splitlines()
    config = dict(line.split(" = ") for line in lines if " = " in line)
    gateway = _settings(GatewaySettings, "gateway")
    processor = _settings(ProcessorSettings, "processor")
    [longest] = [
        one.le
        for one in ProcessorSettings.model_fields["attempt_timeout_s"].metadata
        if hasattr(one, "le")
    ]

    assert int(config["max_message_size"]) >= gateway.max_body_bytes + 1024**2
    assert int(config["consumer_timeout"]) / 1000 > longest + processor.database_wait_s


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_job_does_not_change_with_the_settings(name: str) -> None:
    """Its template is immutable, so it may not refer to a name with a hash."""
    [job] = of_kind(overlay(name), "Job")

    assert not re.search(r'"name": "[\w-]+-[bcdfghkmt2456789]{10}"', json.dumps(job))


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_documents_what_it_needs(name: str) -> None:
    """In its README, which the page of all components links."""
    page = (HERE / "components" / name / "README.md").read_text(encoding="utf-8")

    assert page.startswith(f"# {name}\n")
    assert "Needs" in page or "Set `" in page
    assert f"      {name}/ " in (HERE / "README.md").read_text(encoding="utf-8")


def test_rule_objects_equal_the_rule_files() -> None:
    """Each file of rules is one object, with all its groups."""
    found = {
        one["metadata"]["name"]: one["spec"]
        for one in of_kind(component("prometheus-operator"), "PrometheusRule")
    }

    files = sorted(RULES.glob("*.yml"))
    assert found == {
        f"ringback-{path.stem}": yaml.safe_load(path.read_text(encoding="utf-8")) for path in files
    }


def test_config_maps_contain_the_dashboards() -> None:
    """Each unchanged, in a ConfigMap that the sidecar finds."""
    found: dict[str, str] = {}
    for one in of_kind(component("prometheus-operator"), "ConfigMap"):
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            found |= one["data"]

    assert found == {
        path.name: path.read_text(encoding="utf-8") for path in sorted(DASHBOARDS.glob("*.json"))
    }


def test_the_scaler_reads_the_queues_of_first_attempts() -> None:
    """Not a retry queue, where messages wait in any case."""
    [scaled] = of_kind(component("keda"), "ScaledObject")
    read = [trigger["metadata"]["queueName"] for trigger in scaled["spec"]["triggers"]]

    assert read == [WORK_QUEUE, BULK_QUEUE]


def test_processors_are_removed_one_at_a_time() -> None:
    """While one may still be stopping, at most one more is stopped."""
    [scaled] = of_kind(component("keda"), "ScaledObject")
    down = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    [processor] = [
        one for one in workloads(overlay("production")) if one.name.endswith("/processor")
    ]

    [rule] = down["policies"]
    assert (rule["type"], rule["value"]) == ("Pods", 1)
    assert rule["periodSeconds"] >= processor.pod["terminationGracePeriodSeconds"]
    assert down["stabilizationWindowSeconds"] >= rule["periodSeconds"]


def test_the_collector_samples_by_existing_attributes() -> None:
    """It waits longer than an attempt may take before it decides."""
    config = _collector()
    sampling = config["processors"]["tail_sampling"]
    asked = {
        policy[policy["type"]]["key"]
        for policy in sampling["policies"]
        if policy["type"].endswith("_attribute")
    }

    assert asked == {str(Attribute.ATTEMPT), str(Attribute.RETRY_OF)}
    assert asked <= {str(one) for one in Span.PROCESS.attributes}
    settings = _settings(ProcessorSettings, "processor")
    assert int(sampling["decision_wait"].removesuffix("s")) > settings.attempt_timeout_s


def test_the_collector_uses_everything_it_declares() -> None:
    """A pipeline names existing receivers, processors and exporters; all of them are used."""
    config = _collector()
    [pipeline] = config["service"]["pipelines"].values()

    for part in ("receivers", "processors", "exporters"):
        assert {*config[part]} == {*pipeline[part]}
    assert {*config["extensions"]} == {*config["service"]["extensions"]}


def test_the_database_allows_all_connections() -> None:
    """Every pool at its maximum, each service at its maximum replicas, and some for people."""
    manifests = overlay("production")
    [cluster] = of_kind(manifests, "Cluster")
    [scaled] = of_kind(manifests, "ScaledObject")
    [autoscaler] = of_kind(manifests, "HorizontalPodAutoscaler")
    metrics = [one for one in workloads(manifests) if one.name == "Deployment/metrics"]
    # During an update there is one more of each, and each processor listens outside its pool.
    most = {
        "gateway": autoscaler["spec"]["maxReplicas"] + 1,
        "processor": scaled["spec"]["maxReplicaCount"] + 1,
        "metrics": metrics[0].manifest["spec"]["replicas"] + 1,
    }
    pools = {
        "gateway": _settings(GatewaySettings, "gateway").database_pool_max,
        "processor": _settings(ProcessorSettings, "processor").database_pool_max + 1,
        "metrics": _settings(MetricsSettings, "metrics").database_pool_max,
    }

    needed = sum(most[name] * pools[name] for name in most)
    assert needed + 50 <= int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])


def test_the_operator_creates_the_roles_of_the_migrations() -> None:
    """All of them without a login, and one login per service, which may only use its role."""
    [cluster] = of_kind(component("cloudnative-pg"), "Cluster")
    roles = {one["name"]: one for one in cluster["spec"]["managed"]["roles"]}

    assert {name for name, one in roles.items() if not one["login"]} == {*ROLES}
    assert {*roles[METRICS]["inRoles"]} == {*CALLERS}
    for name in ("gateway", "processor", "metrics"):
        login = roles[f"webhooks_{name}"]
        assert (login["inRoles"], login["inherit"]) == ([f"ringback_{name}"], False)


def _settings(kind: type[Any], name: str) -> Any:
    manifests: Manifests = overlay("production")
    [found] = [
        one
        for workload in workloads(manifests)
        for one in workload.containers
        if one["name"] == name and kind_of(one) is kind
    ]
    return load(kind, environment(found, manifests))


def _collector() -> dict[str, Any]:
    [text] = [
        one["data"]["collector.yaml"]
        for one in of_kind(component("otel-collector"), "ConfigMap")
        if "collector.yaml" in one.get("data", {})
    ]
    found: dict[str, Any] = yaml.safe_load(text)
    return found
