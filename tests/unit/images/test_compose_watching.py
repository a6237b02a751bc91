"""What watches the product of compose.yaml finds it."""

import re
from typing import Any

import pytest
import yaml

from ringback.local.ports import DatabasePorts
from tests.architecture.config_example import SERVICES
from tests.support.compose import FOLDER, compose

PARTS: dict[str, dict[str, Any]] = compose()["services"]


def test_prometheus_scrapes_the_same_jobs() -> None:
    """The rules use these names; only the addresses differ."""
    here = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    there = yaml.safe_load((FOLDER.parent / "prometheus" / "prometheus.yml").read_text("utf-8"))

    def asked(document: dict[str, Any]) -> dict[str, int]:
        found = {}
        for job in document["scrape_configs"]:
            for one in job.get("dns_sd_configs", ()):
                assert one["names"] == [job["job_name"]]
                found[job["job_name"]] = one["port"]
            for one in job.get("static_configs", ()):
                found[job["job_name"]] = int(one["targets"][0].partition(":")[2])
        return found

    assert asked(here) == asked(there)
    assert set(asked(here)) <= set(PARTS)
    assert here["rule_files"] == there["rule_files"]
    assert here["global"].keys() == there["global"].keys()


def test_traces_reach_grafana() -> None:
    """From the services through the collector to the store, and from there to Grafana."""
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text(encoding="utf-8"))
    tempo = yaml.safe_load((FOLDER / "tempo.yaml").read_text(encoding="utf-8"))
    receives = collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    stored = tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]

    for service in SERVICES:
        endpoint = PARTS[service]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == f"http://otel-collector:{receives.rpartition(':')[2]}"
    assert stored.startswith("${LISTEN_ADDRESS}:")
    port = stored.rpartition(":")[2]
    assert collector["exporters"]["otlp_grpc/tempo"]["endpoint"] == f"tempo:{port}"
    asked = PARTS["grafana"]["environment"]["TEMPO_URL"]
    assert asked == f"http://tempo:{tempo['server']['http_listen_port']}"
    assert collector["service"]["pipelines"]["traces"]["exporters"] == ["otlp_grpc/tempo"]


@pytest.mark.parametrize("file", ["compose.yaml", "compose.observability.yaml"])
def test_grafana_gets_every_variable_of_its_provisioning(file: str) -> None:
    grafana = compose(FOLDER / file)["services"]["grafana"]
    provisioning = FOLDER.parent / "grafana" / "provisioning"
    sources = (provisioning / "datasources" / "ringback.yaml").read_text(encoding="utf-8")
    provider = yaml.safe_load((provisioning / "dashboards" / "ringback.yaml").read_text("utf-8"))
    mounted = [mount.split(":")[1] for mount in grafana["volumes"]]

    assert set(re.findall(r"\$\{(\w+)\}", sources)) <= set(grafana["environment"])
    assert provider["providers"][0]["options"]["path"] in mounted


def test_the_compose_file_beside_make_run_uses_its_ports() -> None:
    """Grafana queries the trace store and the local database."""
    environment = compose(FOLDER / "compose.observability.yaml")["services"]["grafana"][
        "environment"
    ]
    tempo = yaml.safe_load((FOLDER / "tempo.yaml").read_text(encoding="utf-8"))

    assert environment["TEMPO_URL"].endswith(f":{tempo['server']['http_listen_port']}")
    assert environment["LOG_DATABASE_HOST"].endswith(f":{DatabasePorts().database}")
    assert not environment["LOG_DATABASE_PASSWORD"]
