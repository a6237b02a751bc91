from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractChannel

from tests.integration.gateway.queue_reader import channel_to
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.gateway_client import settings_for
from tests.support.session_nodes import SessionNodes


@pytest.fixture
async def ready_amqp_url(session_nodes: SessionNodes) -> AsyncIterator[str]:
    """A virtual host for this test, with the topology."""
    async with session_nodes.amqp_url("2s,4s,8s") as url:
        yield url


@pytest.fixture
async def gateway(ready_amqp_url: str, database_url: str) -> AsyncIterator[RunningGateway]:
    """A gateway with one endpoint, with a broker and a database for this test."""
    async with running(settings_for(ready_amqp_url, database_url)) as started:
        yield started


@pytest.fixture
async def channel(ready_amqp_url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of another client in the same virtual host."""
    async with channel_to(ready_amqp_url) as opened:
        yield opened
