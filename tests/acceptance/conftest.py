"""All of Ringback: three processes on a virtual host and a database of the test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.whole import Whole, whole_ringback


@pytest.fixture
async def whole(amqp_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Whole]:
    """Three services that are ready, on the session's nodes."""
    async with whole_ringback(amqp_url, database_url, tmp_path) as running:
        yield running
