"""All of Ringback: three processes, with a virtual host and a database for this test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ringback.local.broker import PrivateBroker
from tests.acceptance.telemetry_run import Emitted, driven
from tests.acceptance.whole import Whole, whole_ringback
from tests.support.session_nodes import SessionNodes


@pytest.fixture
async def whole(amqp_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Whole]:
    """Three services that are ready, on the session's nodes."""
    async with whole_ringback(amqp_url, database_url, tmp_path) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def emitted(
    session_nodes: SessionNodes, broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Emitted]:
    """One run of the services for all tests of telemetry; the services have stopped."""
    folder = tmp_path_factory.mktemp("telemetry")
    variables = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": broker.management_url}
    async with session_nodes.place() as urls, driven(*urls, folder, **variables) as found:
        yield found
