from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.serving import ServedGateway, serving


@pytest.fixture
async def gateway() -> AsyncIterator[ServedGateway]:
    """A gateway with one endpoint."""
    async with serving() as started:
        yield started
