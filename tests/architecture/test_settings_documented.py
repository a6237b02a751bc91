"""config.example.env is the reference of all settings."""

import re

import pytest
from pydantic_core import PydanticUndefined

from ringback.cli.commands.topology import BrokerPasswords
from ringback.local.ports import (
    BrokerPorts,
    DatabasePorts,
    DemoPorts,
    PrometheusPorts,
    named_ports,
    port_setting,
)
from ringback.runtime.process.settings import PREFIX, load
from tests.architecture.config_example import EXAMPLE, SECRETS, SERVICES, example, readers
from tests.architecture.source import ROOT

#: What is no setting of a service: read by the command, or by the tests.
OF_THE_COMMAND = {
    *("RINGBACK_GATEWAY_URL", "RINGBACK_METRICS_URL", "RINGBACK_METRICS_ROOT_CERTIFICATES"),
    *("RINGBACK_TOKEN", "RINGBACK_JWT_PRIVATE_KEY_FILE"),
    *("RINGBACK_DEBUG", "RINGBACK_TEST_BODY_BYTES"),
    *(f"{PREFIX}{name}".upper() for name in BrokerPasswords.model_fields),
}

OF_THE_LOCAL_STACK = {
    port_setting(name)
    for ports in (BrokerPorts(), DatabasePorts(), PrometheusPorts(), DemoPorts())
    for name in named_ports(ports)
} | {"RINGBACK_POSTGRESQL_BIN", "RINGBACK_RABBITMQ_IMAGE"}


def test_the_example_is_what_the_code_says() -> None:
    """Renew it with `.venv/bin/python -m tests.architecture.config_example`."""
    assert EXAMPLE.read_text(encoding="utf-8") == example()


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_can_be_used(service: str) -> None:
    """With what must be set filled in, each service takes the file with every default shown."""
    required = {
        "RINGBACK_AMQP_URL": "amqp://guest:guest@localhost/",
        "RINGBACK_DATABASE_URL": "postgresql://localhost/ringback",
        "RINGBACK_VAPI_SECRET": "a secret of twenty letters",
        "RINGBACK_JWT_SECRET": "a secret of more than thirty-two letters",
    }
    shown = dict(re.findall(r"^#? ?(RINGBACK_\w+)=(.*)$", example(), re.MULTILINE))

    settings = load(SERVICES[service], shown | required)

    defaults = load(SERVICES[service], required)
    assert settings == defaults


def test_one_name_is_one_setting() -> None:
    """Services that share a variable read the same thing from it."""
    for name, services in readers().items():
        fields = [SERVICES[service].model_fields[name] for service in services]
        assert len({(field.description, str(field.default)) for field in fields}) == 1, name


def test_only_addresses_are_required() -> None:
    """All the rest has a default that is good for a first day."""
    required = {
        name
        for kind in SERVICES.values()
        for name, field in kind.model_fields.items()
        if field.default is PydanticUndefined
    }

    assert required == {"amqp_url", "database_url"}


def test_every_variable_that_is_named_exists() -> None:
    """Pages, manifests and programs name no setting that nobody reads."""
    known = {f"{PREFIX}{name}".upper() for name in readers()} | OF_THE_COMMAND | OF_THE_LOCAL_STACK
    known |= {f"{PREFIX}{name}_FILE".upper() for name in SECRETS}
    folders = ("ringback", "docs", "deploy", "benchmarks")
    kinds = {".py", ".md", ".yaml", ".yml", ".sh", ".toml", ".env"}
    files = [ROOT / "README.md", ROOT / "Makefile", EXAMPLE]
    files += [p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in kinds]

    for path in files:
        if path.is_file():
            named = set(
                re.findall(r"\bRINGBACK_[A-Z][A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
            )
            assert named <= known, path
