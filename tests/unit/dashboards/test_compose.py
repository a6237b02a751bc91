"""The compose file beside `make run`: its images, mounts, variables and ports."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ringback.local.ports import DatabasePorts

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = DEPLOY / "docker" / "compose.observability.yaml"
DATASOURCES = DEPLOY / "grafana" / "provisioning" / "datasources" / "ringback.yaml"
DASHBOARDS = DEPLOY / "grafana" / "provisioning" / "dashboards" / "ringback.yaml"


@pytest.fixture(name="services")
def compose_services() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return dict(document["services"])


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    """By a tag with three numbers."""
    for service in services.values():
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    """A missing path would become an empty folder."""
    mounts = [mount.split(":") for service in services.values() for mount in service["volumes"]]
    files = [COMPOSE.parent / source for source, *_ in mounts if source.startswith(".")]

    assert files
    assert [path for path in files if not path.exists()] == []


def test_grafana_gets_every_variable_of_its_provisioning(services: dict[str, Any]) -> None:
    """Each variable of the data sources has a value, and the dashboards are mounted."""
    environment = services["grafana"]["environment"]
    asked = set(re.findall(r"\$\{(\w+)\}", DATASOURCES.read_text()))
    provider = yaml.safe_load(DASHBOARDS.read_text())["providers"][0]
    mounted = [mount.split(":")[1] for mount in services["grafana"]["volumes"]]

    assert asked
    assert asked <= set(environment)
    assert provider["options"]["path"] in mounted


def test_the_parts_agree_on_ports(services: dict[str, Any]) -> None:
    """Grafana queries the trace store and the local database on their ports."""
    environment = services["grafana"]["environment"]
    tempo = yaml.safe_load((COMPOSE.parent / "tempo.yaml").read_text())

    assert environment["TEMPO_URL"].endswith(f":{tempo['server']['http_listen_port']}")
    assert f":{DatabasePorts().database}}}" in environment["LOG_DATABASE_HOST"]
    assert environment["LOG_DATABASE_PASSWORD"] == "${LOG_DATABASE_PASSWORD:-}"
