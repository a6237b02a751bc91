from pathlib import Path

from ringback.local.ports import ServicePorts
from ringback.local.stack_service import (
    StackContext,
    service_environment,
    service_specs,
    urls_by_role,
)

NAMES = ("gateway", "processor", "metrics")
URL = "postgresql://postgres@127.0.0.1:7432/ringback"


def around(**environ: str) -> StackContext:
    return StackContext(
        environ=environ,
        amqp_url="amqp://127.0.0.1/",
        database_urls=urls_by_role(URL),
        ports=ServicePorts(metrics_rest=8181),
        jwt_secret="a secret of the stack's own",
        state_dir=Path("/somewhere/.ringback"),
        management_url="http://127.0.0.1:7673",
    )


def test_each_service_has_its_own_role_on_a_private_database() -> None:
    """No service uses the superuser."""
    names = [spec.name for spec in service_specs(ServicePorts())]

    urls = [service_environment(name, around())["RINGBACK_DATABASE_URL"] for name in names]

    assert urls == [f"{URL}?role=ringback_{name}" for name in names]
    assert names == ["gateway", "processor", "metrics"]


def test_the_ports_of_the_stack_come_before_the_environment() -> None:
    """They are what the stack has claimed; other settings pass through."""
    environment = service_environment(
        "metrics",
        around(RINGBACK_METRICS_REST_PORT="1", RINGBACK_LOG_LEVEL="debug"),
    )

    assert environment["RINGBACK_METRICS_REST_PORT"] == "8181"
    assert environment["RINGBACK_LOG_LEVEL"] == "debug"


def test_the_gateway_has_a_spool_beside_the_stack() -> None:
    """Unless the environment names another folder for it."""
    ours = service_environment("gateway", around())
    theirs = service_environment("gateway", around(RINGBACK_SPOOL_DIR="/elsewhere"))

    assert ours["RINGBACK_SPOOL_DIR"] == "/somewhere/.ringback/spool"
    assert theirs["RINGBACK_SPOOL_DIR"] == "/elsewhere"


def test_only_users_of_the_management_api_get_its_address() -> None:
    """The gateway does not: its user may publish, and no more."""
    environment = {name: service_environment(name, around()) for name in NAMES}

    asked = {name for name in NAMES if "RINGBACK_RABBITMQ_MANAGEMENT_URL" in environment[name]}
    assert asked == {"processor", "metrics"}


def test_the_services_are_reached_by_loopback_alone() -> None:
    """By that of IPv4 and that of IPv6: `localhost` may be either."""
    for name in NAMES:
        environment = service_environment(name, around())
        for setting in ("GATEWAY", "METRICS", "OBSERVABILITY"):
            assert environment[f"RINGBACK_{setting}_HOST"] == "127.0.0.1,::1"
