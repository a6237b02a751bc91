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


def test_each_service_gets_only_what_it_needs() -> None:
    """Its own role, the address of the management API if it uses it, and loopback alone."""
    environment = {name: service_environment(name, around()) for name in NAMES}
    of_the_management_api = {
        name for name in NAMES if "RINGBACK_RABBITMQ_MANAGEMENT_URL" in environment[name]
    }

    assert tuple(spec.name for spec in service_specs(ServicePorts())) == NAMES
    assert of_the_management_api == {"processor", "metrics"}
    for name, values in environment.items():
        assert values["RINGBACK_DATABASE_URL"] == f"{URL}?role=ringback_{name}"
        # `localhost` may be the address of IPv4 or that of IPv6.
        for setting in ("GATEWAY", "METRICS", "OBSERVABILITY"):
            assert values[f"RINGBACK_{setting}_HOST"] == "127.0.0.1,::1"
    assert environment["gateway"]["RINGBACK_SPOOL_DIR"] == "/somewhere/.ringback/spool"


def test_the_environment_comes_before_defaults_but_not_before_claimed_ports() -> None:
    given = around(
        RINGBACK_METRICS_REST_PORT="1",
        RINGBACK_LOG_LEVEL="debug",
        RINGBACK_SPOOL_DIR="/elsewhere",
    )

    assert service_environment("metrics", given)["RINGBACK_METRICS_REST_PORT"] == "8181"
    assert service_environment("metrics", given)["RINGBACK_LOG_LEVEL"] == "debug"
    assert service_environment("gateway", given)["RINGBACK_SPOOL_DIR"] == "/elsewhere"
