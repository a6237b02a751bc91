"""Which package may import which."""

import sys

import pytest

from tests.architecture.source import OURS, ROOT, Module, modules

ADAPTERS = {"aio_pika", "aiormq", "aiohttp", "asyncpg", "grpc", "uvloop", "asyncio"}


def foreign(module: Module, *allowed: str) -> list[str]:
    """The imports from outside these packages."""
    return [
        name
        for name in module.imports
        if not any(name == package or name.startswith(f"{package}.") for package in allowed)
    ]


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        # Services share only the broker, the database and `ringback`.
        ("ringback/services/gateway", ("ringback.services.metrics", "ringback.services.processor")),
        ("ringback/services/metrics", ("ringback.services.gateway", "ringback.services.processor")),
        ("ringback/services/processor", ("ringback.services.gateway", "ringback.services.metrics")),
        # These are what they share. Only the local stack names them, to start them as processes.
        *(
            (f"ringback/{folder.name}", ("ringback.services",))
            for folder in sorted((ROOT / "ringback").iterdir())
            if folder.name not in {"services", "testing"} and any(folder.glob("*.py"))
        ),
        # It runs handlers by the processor's own code.
        ("ringback/testing", ("ringback.services.gateway", "ringback.services.metrics")),
        # What is installed does not have the tests.
        *((folder, ("tests",)) for folder in OURS),
    ],
)
def test_a_package_does_not_import_another(folder: str, others: tuple[str, ...]) -> None:
    found = modules(folder)

    assert found
    for module in found:
        assert not [name for name in module.imports if name.startswith(others)], module.name


def test_the_contract_does_no_io() -> None:
    """The standard library and three small libraries of values; nothing of a loop or a socket."""
    for module in modules("ringback/contract"):
        allowed = {*sys.stdlib_module_names} - {
            *("asyncio", "socket", "subprocess", "threading", "os"),
        }
        assert not foreign(
            module, "ringback.contract", "msgspec", "orjson", "uuid_utils", *allowed
        ), module.name


def test_the_runtime_knows_no_service_words() -> None:
    """How a process lives does not depend on what it does."""
    for module in modules("ringback/runtime"):
        ours = [name for name in module.imports if name.startswith("ringback.")]
        assert all(name.startswith(("ringback.contract", "ringback.runtime")) for name in ours), (
            module.name
        )


@pytest.mark.parametrize(
    "name",
    [
        "ringback.services.processor.attempt.policy",
        "ringback.services.processor.consume.message",
        "ringback.services.processor.attempt.context",
        "ringback.services.gateway.events.dedup_key",
        "ringback.services.gateway.endpoints.credentials",
        "ringback.services.gateway.endpoints.declared",
        "ringback.services.gateway.endpoints.endpoint",
        "ringback.services.gateway.endpoints.signatures",
        "ringback.services.gateway.endpoints.tokens",
        "ringback.services.gateway.webhook",
        "ringback.services.metrics.commands.retry_run_rules",
    ],
)
def test_decisions_import_no_adapter(name: str) -> None:
    module = Module(ROOT / f"{name.replace('.', '/')}.py")

    assert not [found for found in module.imports if found.partition(".")[0] in ADAPTERS]
