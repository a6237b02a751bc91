from dataclasses import replace
from pathlib import Path

import pytest

from ringback.local.ports import ServicePorts
from ringback.local.stack_service import (
    StackContext,
    service_environment,
    service_specs,
    urls_by_role,
)
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.process.settings import load
from ringback.services.gateway.endpoints.endpoint import unanswered
from ringback.services.gateway.questions.answer_process import import_answers
from ringback.services.gateway.settings import GatewaySettings

NAMES = ("gateway", "processor", "metrics")
URL = "postgresql://postgres@127.0.0.1:7432/ringback"


def around(**environ: str) -> StackContext:
    return StackContext(
        environ=environ,
        amqp_url="amqp://127.0.0.1/",
        database_urls=urls_by_role(URL),
        ports=ServicePorts(metrics_rest=8181),
        jwt_secret="a secret of the stack's own",
        console_secret="another secret of the stack's own",
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
        assert ("RINGBACK_CONSOLE_SECRET" in values) == (name == "metrics")
    assert environment["metrics"]["RINGBACK_CONSOLE_URL"] == "http://127.0.0.1:8181"
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


@pytest.mark.parametrize("secret", [{}, {"RINGBACK_VAPI_SECRET": "hush"}], ids=["open", "secret"])
def test_the_gateway_has_an_endpoint_for_the_demo(
    secret: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the default endpoint, and with its org and secret."""
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    context = replace(around(**secret), answers_port=8090)

    settings = load(GatewaySettings, service_environment("gateway", context))
    endpoints = {one.id: one for one in settings.read_endpoints(Sources())}

    assert set(endpoints) == {"default", "demo"}
    assert endpoints["demo"].org_id == endpoints["default"].org_id
    assert bool(endpoints["demo"].credentials) is bool(secret)
    urls = {question.url for question in endpoints["demo"].questions.values()}
    assert urls == {"http://127.0.0.1:8090/"}


def test_sample_functions_answer_if_they_are_named() -> None:
    context = replace(around(RINGBACK_ANSWERS="ringback.cli.demo.answers"), answers_port=8090)

    settings = load(GatewaySettings, service_environment("gateway", context))
    endpoints = settings.read_endpoints(Sources())

    assert {one.id for one in endpoints} == {"default", "demo", "answers"}
    assert unanswered(endpoints, import_answers(settings.answers)) == []
    assert len(unanswered(endpoints, ())) == 2


def test_declared_endpoints_replace_that_of_the_demo() -> None:
    context = replace(around(RINGBACK_ENDPOINTS_FILE="/mine.yaml"), answers_port=8090)

    assert "RINGBACK_ENDPOINTS" not in service_environment("gateway", context)
