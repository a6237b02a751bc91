"""What compose.yaml lets others reach, and what each part may do."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.docker.own_secrets import KNOWN, PASSWORDS, SECRETS
from ringback.cli.commands.topology import BrokerPasswords
from ringback.contract.broker_access import USERS, VHOST
from ringback.local.ports import LOOPBACK, ServicePorts
from ringback.runtime.process.settings import load
from tests.architecture.config_example import SERVICES
from tests.support.compose import compose, variables

DOCUMENT = compose()
PARTS: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = {name: part for name, part in PARTS.items() if part["image"].startswith("ringback")}


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
