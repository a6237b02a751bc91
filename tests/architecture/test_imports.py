"""Which package may import which."""

import sys

import pytest

from tests.architecture.source import OURS, ROOT, Module, modules

ADAPTERS = {"aio_pika", "aiormq", "aiohttp", "asyncpg", "grpc", "uvloop", "asyncio"}


def foreign(module: Module, *allowed: str) -> list[str]:
    """The imports from outside these packages."""
    return [
        name
        for name in module.imports()
        if not any(name == package or name.startswith(f"{package}.") for package in allowed)
    ]


@pytest.mark.parametrize(
    ("folder", "others"),
    [
        # Services share only the broker, the database and `ringback`.
        ("services/gateway", ("services.metrics", "services.processor")),
        ("services/metrics", ("services.gateway", "services.processor")),
        ("services/processor", ("services.gateway", "services.metrics")),
        # It is what they share. Only the local stack names them, to start them as processes.
        ("ringback", ("services",)),
        # What is installed does not have the tests.
        *((folder, ("tests",)) for folder in OURS),
    ],
)
def test_a_package_does_not_import_another(folder: str, others: tuple[str, ...]) -> None:
    found = modules(folder)

    assert found
    for module in found:
        assert not [name for name in module.imports() if name.startswith(others)], module.name


def test_the_contract_does_no_io() -> None:
    """The standard library and three small libraries of values; nothing of a loop or a socket."""
    for module in modules("ringback/contract"):
        allowed = {*sys.stdlib_module_names} - {
            "asyncio",
            "socket",
            "subprocess",
            "threading",
            "os",
        }
        assert not foreign(
            module, "ringback.contract", "msgspec", "orjson", "uuid_utils", *allowed
        ), module.name


def test_the_runtime_knows_no_service_words() -> None:
    """How a process lives does not depend on what it does."""
    for module in modules("ringback/runtime"):
        ours = [name for name in module.imports() if name.startswith("ringback.")]
        assert all(name.startswith(("ringback.contract", "ringback.runtime")) for name in ours), (
            module.name
        )


@pytest.mark.parametrize(
    "name",
    [
        "services.processor.attempt.policy",
        "services.processor.consume.message",
        "services.processor.attempt.context",
        "services.gateway.events.dedup_key",
        "services.gateway.endpoints",
        "services.gateway.webhook",
        "services.metrics.commands.bulk_rules",
    ],
)
def test_decisions_import_no_adapter(name: str) -> None:
    module = Module(ROOT / f"{name.replace('.', '/')}.py")

    assert not [found for found in module.imports() if found.partition(".")[0] in ADAPTERS]
