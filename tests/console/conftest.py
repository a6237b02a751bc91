"""A browser, and a console with data, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.console.browser import CHROMIUM, MISSING, PATIENCE_MS, chromium
from tests.integration.metrics.filled_service import FilledService, filled_service
from tests.support.session_nodes import SessionNodes


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=PATIENCE_MS)
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def filled(session_nodes: SessionNodes, tmp_path: Path) -> AsyncIterator[FilledService]:
    async with filled_service(session_nodes, tmp_path) as service:
        yield service
