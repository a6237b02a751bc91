"""The pages Changes and Endpoints by HTTP."""

import asyncpg
import pytest

from ringback.services.metrics.console.settings import ConsoleSettings
from tests.integration.metrics.console.test_sign_in import browser
from tests.support.tokens import CONSOLE_SECRET, bearer


@pytest.mark.parametrize("path", ["/changes?actor=anna", "/endpoints"])
async def test_a_page_is_sent_again_only_if_it_has_changed(pool: asyncpg.Pool, path: str) -> None:
    """And to nobody without a token."""
    settings = ConsoleSettings.model_validate({"console_secret": CONSOLE_SECRET})
    async with browser(pool, settings) as visitor:
        shown, page = await visitor.get(path, Authorization=bearer())
        tag = shown.headers["ETag"]
        again, _ = await visitor.get(path, **{"Authorization": bearer(), "If-None-Match": tag})
        nobody, _ = await visitor.get(path)

    assert (shown.status, again.status, nobody.status) == (200, 304, 401)
    assert "The same from a terminal" in page
