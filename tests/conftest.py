"""Real nodes for tests that ask for them; a test without these fixtures starts nothing.

Each property gets 40 examples, and 10,000 with HYPOTHESIS_PROFILE=long: `make fuzz`.
"""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from tests.support import eventually as waiting
from tests.support import service_process
from tests.support.session_nodes import SessionNodes

settings.register_profile(
    "long", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck)
)
# No example has a deadline, because the machine may be busy.
settings.register_profile("short", max_examples=40, deadline=None)
SLOW_FOLDERS = (Path(__file__).parent / "deploy", Path(__file__).parent / "unit" / "images")

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


def pytest_configure(config: pytest.Config) -> None:
    # A shell script in the background makes its children ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "nodes: needs a real RabbitMQ or PostgreSQL (automatic)")


def pytest_unconfigure() -> None:
    service_process.close()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the folders of slow tests in `make test`."""
    is_unwanted = config.option.markexpr == "not slow" and collection_path in SLOW_FOLDERS
    return True if is_unwanted else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a node, for `make test-unit`, and what is in a folder of slow tests."""
    for item in items:
        if isinstance(item, pytest.Function) and "session_nodes" in item.fixturenames:
            item.add_marker("nodes")
        if any(folder in item.path.parents for folder in SLOW_FOLDERS):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def session_nodes(request: pytest.FixtureRequest) -> Iterator[SessionNodes]:
    items = request.session.items
    nodes = SessionNodes(
        name for item in items if isinstance(item, pytest.Function) for name in item.fixturenames
    )
    yield nodes
    nodes.close()


@pytest.fixture(scope="session")
def broker(session_nodes: SessionNodes) -> PrivateBroker:
    """The session's RabbitMQ node; leave it running and work in a vhost (`amqp_url`)."""
    return session_nodes.broker()


@pytest.fixture(scope="session")
def database(session_nodes: SessionNodes) -> PrivateDatabase:
    """The session's PostgreSQL; leave it running and work in a database (`database_url`)."""
    return session_nodes.database()


@pytest.fixture
async def amqp_url(session_nodes: SessionNodes) -> AsyncIterator[str]:
    """A virtual host that is empty, for this test alone."""
    async with session_nodes.amqp_url() as url:
        yield url


@pytest.fixture
async def database_url(session_nodes: SessionNodes) -> AsyncIterator[str]:
    """A migrated database without rows, for this test alone; its user is the superuser."""
    async with session_nodes.database_url() as url:
        yield url


@pytest.fixture
async def own_broker(session_nodes: SessionNodes) -> AsyncIterator[PrivateBroker]:
    """A second RabbitMQ node, running, for a test that stops or kills it; see `own_amqp_url`."""
    async with session_nodes.own_broker.lent() as node:
        yield node


@pytest.fixture
async def own_amqp_url(own_broker: PrivateBroker) -> str:
    """A virtual host of `own_broker`, empty, for this test alone."""
    # A quorum queue that is declared right after one of its name was deleted can stay without a
    # leader.
    name = f"test_{uuid.uuid4().hex}"
    await own_broker.create_vhost(name)
    return own_broker.amqp_url(name)


@pytest.fixture
async def own_database(session_nodes: SessionNodes) -> AsyncIterator[PrivateDatabase]:
    """A second PostgreSQL with an empty database `ringback`, for a test that stops it."""
    async with session_nodes.own_database.lent() as node:
        yield node


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """The function of tests.support.eventually: awaits what must become true."""
    return waiting.eventually
