"""compose.yaml is valid, gives each part no more than it needs, and what watches it finds it."""

import re
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the schema's program
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

import ringback
from deploy.docker.own_secrets import KNOWN, PASSWORDS, SECRETS
from ringback.cli.commands.topology import BrokerPasswords
from ringback.contract.broker_access import USERS, VHOST
from ringback.local.ports import LOOPBACK, DatabasePorts, ServicePorts
from ringback.local.stack_service import service_specs
from ringback.runtime.process.settings import load
from tests.architecture.config_example import SERVICES
from tests.support.compose import COMPOSE, FOLDER, compose, variables
from tests.support.dockerfile import DOCKERFILE, image, stages

DOCUMENT = compose()
BESIDE = compose(FOLDER / "compose.observability.yaml")
PARTS: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = {name: part for name, part in PARTS.items() if part["image"].startswith("ringback")}
STAGES = stages(DOCKERFILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["compose.yaml", "compose.observability.yaml"])
def test_a_compose_file_is_valid(name: str) -> None:
    """By the schema of the Compose Specification."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [str(program), "--builtin-schema", "vendor.compose-spec", str(FOLDER / name)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_it_starts_without_settings() -> None:
    """Each variable has a default, the same one everywhere."""
    text = COMPOSE.read_text(encoding="utf-8")
    defaults: dict[str, set[str]] = {}
    for name, default in variables():
        defaults.setdefault(name, set()).add(default)

    assert len(re.findall(r"\$\{", text)) == len(list(variables()))
    assert {name: found for name, found in defaults.items() if len(found) > 1} == {}


def test_images_are_pinned() -> None:
    """Ours by the current version, the others by three numbers, or two for a database."""
    for name, part in PARTS.items():
        wanted = r"[\w/-]+:v?\d+\.\d+\.\d+(-management)?|postgres:\d+\.\d+"
        assert re.fullmatch(wanted, part["image"]), name
    assert {part["image"].partition(":")[2] for part in OURS.values()} == {ringback.__version__}
    assert PARTS["own-secrets"]["build"]["args"]["VERSION"] == ringback.__version__


def test_both_compose_files_have_the_same_versions() -> None:
    for name, part in BESIDE["services"].items():
        assert part["image"] == PARTS[name]["image"]


def test_our_images_are_built_and_never_pulled() -> None:
    """An image that somebody else pushed under such a name is not started."""
    built = {part["image"]: part["build"] for part in OURS.values() if "build" in part}

    assert {part["image"] for part in OURS.values()} == set(built)
    for found, build in built.items():
        name = found.partition(":")[0]
        assert build["target"] == name.removeprefix("ringback-")
        assert image(STAGES, build["target"]).labels["org.opencontainers.image.title"] == name
        assert (COMPOSE.parent / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE
    assert {part["pull_policy"] for part in OURS.values()} == {"never"}


def test_mounted_files_exist() -> None:
    """A missing path would become an empty folder."""
    for name, part in [*PARTS.items(), *BESIDE["services"].items()]:
        for mount in part.get("volumes", ()):
            source, target, *_ = mount.split(":")
            assert target.startswith("/"), (name, mount)
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, mount)
                assert mount.endswith(":ro"), (name, mount)
            else:
                assert source in {*DOCUMENT["volumes"], *BESIDE["volumes"]}, (name, mount)


def test_every_awaited_condition_can_be_met() -> None:
    """A service that others wait for has a health check; a job that others wait for ends."""
    for part in PARTS.values():
        for other, how in part.get("depends_on", {}).items():
            waits_for = PARTS[other]
            match how["condition"]:
                case "service_healthy":
                    assert waits_for["healthcheck"]["test"][0] == "CMD", other
                case "service_completed_successfully":
                    assert waits_for["restart"] == "no", other
                case _:
                    assert waits_for["restart"] == "unless-stopped", other


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_valid_settings(service: str) -> None:
    kind = SERVICES[service]
    environ = PARTS[service]["environment"]
    read = {f"RINGBACK_{name}".upper() for name in kind.model_fields}

    assert {name for name in environ if name.startswith("RINGBACK_")} <= read
    load(kind, environ)


def test_the_gateway_can_read_a_file_of_endpoints() -> None:
    """The operator's folder replaces an empty volume; without it, there is no file to read."""
    folder, target = "/srv/endpoints", "/etc/ringback/endpoints"
    file = f"{target}/endpoints.yaml"
    environ = {"ENDPOINTS_FOLDER": folder, "RINGBACK_ENDPOINTS_FILE": file}
    configured = compose(environ=environ)["services"]["gateway"]

    assert f"{folder}:{target}:ro" in configured["volumes"]
    assert configured["environment"]["RINGBACK_ENDPOINTS_FILE"] == file
    assert f"endpoints:{target}:ro" in PARTS["gateway"]["volumes"]
    assert not PARTS["gateway"]["environment"]["RINGBACK_ENDPOINTS_FILE"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_time_to_stop(service: str) -> None:
    """As long as the local stack gives it; otherwise it is killed with work in flight."""
    (spec,) = (one for one in service_specs(ServicePorts()) if one.name == service)

    assert int(PARTS[service]["stop_grace_period"].removesuffix("s")) >= spec.stop_within_s


@pytest.mark.parametrize("service", SERVICES)
def test_its_health_check_is_its_readiness(service: str) -> None:
    """Other services wait for readiness; the image's own check is only liveness."""
    assert PARTS[service]["healthcheck"]["test"] == [
        "CMD",
        *image(STAGES, service).health,
        "--ready",
    ]


def test_some_service_waits_for_every_job() -> None:
    """With `up --wait`, a job that ended counts as a failure unless a service waits for it."""
    jobs = {name for name, part in PARTS.items() if part["restart"] == "no"}
    ends = {
        other
        for part in PARTS.values()
        for other, how in part.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }

    assert jobs - {"ringback"} == ends
    assert PARTS["ringback"]["profiles"] == ["command"]


def test_our_containers_are_hardened() -> None:
    """Not root, no capabilities, read-only except volumes, limited resources."""
    assert set(SERVICES) < set(OURS)
    for name, part in PARTS.items():
        assert part["cap_drop" if name not in {"rabbitmq", "postgres"} else "image"], name
    for name, part in OURS.items():
        assert part["read_only"] is True, name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in part, name
        assert {"mem_limit", "pids_limit", "logging"} <= set(part), name


def _before(name: str) -> set[str]:
    found = set(PARTS[name].get("depends_on", {}))
    return found.union(*(_before(other) for other in found))


def test_nothing_starts_before_the_secrets_are_checked() -> None:
    """Not even what has no open port: it would keep data under a public password."""
    for name in PARTS.keys() - {"own-secrets"}:
        assert "own-secrets" in _before(name), name


def test_ports_are_open_on_this_machine_only() -> None:
    """Unless BIND_ADDRESS changes it; ports without authentication stay local even then."""
    bind = "192.0.2.1"
    opened = {}
    for name, part in compose(environ={"BIND_ADDRESS": bind})["services"].items():
        for port in part.get("ports", ()):
            address, _, inner = port.split(":")
            assert address in {bind, LOOPBACK}, port
            opened[name, int(inner)] = address == bind
    for part in PARTS.values():
        assert all(port.startswith(f"{LOOPBACK}:") for port in part.get("ports", ()))

    ports = ServicePorts()
    assert opened == {
        ("gateway", ports.gateway): True,
        ("metrics", ports.metrics_rest): True,
        ("metrics", ports.metrics_grpc): True,
        ("grafana", 3000): True,
        ("prometheus", 9090): False,
    }


def test_broker_and_database_have_no_route_out() -> None:
    """An intruder there could not send data anywhere."""
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    assert PARTS["rabbitmq"]["networks"] == PARTS["postgres"]["networks"] == ["inside"]


def test_every_default_secret_is_checked() -> None:
    """Each variable whose default begins so is a secret, and the reverse."""
    known = {name for name, default in variables() if default.startswith(KNOWN)}

    assert known == set(SECRETS)
    assert set(SECRETS) < set(PARTS["own-secrets"]["environment"])


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_its_own_login(service: str) -> None:
    password = f"{KNOWN}{service}"
    amqp = urlsplit(PARTS[service]["environment"]["RINGBACK_AMQP_URL"])
    database = urlsplit(PARTS[service]["environment"]["RINGBACK_DATABASE_URL"])

    assert (amqp.username, amqp.password, amqp.path) == (service, password, f"/{VHOST}")
    assert amqp.username in USERS
    assert (database.username, database.password) == (f"webhooks_{service}", password)
    assert parse_qs(database.query) == {"role": [f"ringback_{service}"]}


def test_the_brokers_users_get_their_passwords() -> None:
    """Those of the services, and that of the job that declares the topology."""
    given = load(BrokerPasswords, PARTS["broker-access"]["environment"])
    topology = urlsplit(PARTS["topology"]["environment"]["RINGBACK_AMQP_URL"])

    assert given.broker_gateway_password.get_secret_value() == f"{KNOWN}gateway"
    assert given.broker_topology_password.get_secret_value() == topology.password
    assert topology.username == "topology"
    assert set(PASSWORDS) <= set(SECRETS)


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
