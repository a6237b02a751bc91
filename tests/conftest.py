"""Real nodes for tests that ask for them; a test without these fixtures starts nothing.

HYPOTHESIS_PROFILE=long has each property tried by 10,000 examples: `make fuzz`.
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
from tests.support.session_nodes import TEMPLATE, SessionNodes, new_broker, new_database

settings.register_profile(
    "long", max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck)
)
# A busy machine is no failure, so no example has a deadline.
settings.register_profile("short", settings(), deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

NODE_FIXTURES = frozenset({"session_nodes", "own_broker", "own_database"})


def pytest_configure(config: pytest.Config) -> None:
    # A script that runs us in the background has us ignore interrupts, and every child with us.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "nodes: needs a real RabbitMQ or PostgreSQL (set by itself)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a node, so that `make test-unit` can leave it out."""
    for item in items:
        if isinstance(item, pytest.Function) and NODE_FIXTURES.intersection(item.fixturenames):
            item.add_marker("nodes")


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
async def amqp_url(broker: PrivateBroker) -> AsyncIterator[str]:
    """A virtual host that is empty, for this test alone."""
    name = f"test-{uuid.uuid4().hex}"
    await broker.create_vhost(name)
    yield broker.amqp_url(name)
    await broker.delete_vhost(name)


@pytest.fixture
async def database_url(database: PrivateDatabase) -> AsyncIterator[str]:
    """A migrated database without rows, for this test alone; its user is the superuser."""
    name = f"test_{uuid.uuid4().hex}"
    await database.create_database(name, TEMPLATE)
    yield database.url(name)
    await database.drop_database(name)


@pytest.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[PrivateBroker]:
    """A RabbitMQ node that runs, for a test that stops or kills it; about 6 s each."""
    node = new_broker(tmp_path / "broker")
    await node.start()
    yield node
    await node.kill()


@pytest.fixture
async def own_database(tmp_path: Path) -> AsyncIterator[PrivateDatabase]:
    """A PostgreSQL that runs, with an empty database `ringback`, for a test that stops it."""
    node = new_database(tmp_path / "database")
    await node.start()
    await node.ensure_database("ringback")
    yield node
    await node.kill()


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """The function of tests.support.eventually: awaits what must become true."""
    return waiting.eventually
