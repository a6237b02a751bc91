"""What the script does with the code of the link, in a real browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Page, async_playwright

from tests.integration.metrics.console.test_sign_in import Browser, browser, settings

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="the package chromium is missing")


@pytest.fixture
async def console(pool: asyncpg.Pool) -> AsyncIterator[Browser]:
    async with browser(pool, settings()) as opened:
        yield opened


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Fails if the page reports an error, such as a violation of its policy."""
    errors: list[str] = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = await chromium.new_page(viewport={"width": 320, "height": 640})
        opened.set_default_timeout(60_000)
        opened.on("console", lambda message: errors.append(message.text))
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        await chromium.close()
    assert errors == []


@pytest.mark.slow
async def test_the_link_signs_in_and_leaves_no_code_behind(console: Browser, page: Page) -> None:
    """Neither in the address nor in a request's address nor in the history."""
    code = await console.code()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.goto(f"{console.url}/sign-in?next=/console/%3Ffrom=chat#code={code}")
    await page.wait_for_url("**/console/?from=chat")
    await page.go_back()

    assert code not in page.url
    assert not [url for url in asked if code in url]
    await page.goto(console.url)
    await page.locator("details.person summary").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_text("You are signed out").wait_for()


@pytest.mark.slow
async def test_a_foreign_link_does_not_change_who_somebody_is(console: Browser, page: Page) -> None:
    """Where a person is signed in, a click decides."""
    await page.goto(f"{console.url}/sign-in#code={await console.code()}")
    await page.locator("details.person").wait_for()
    code = await console.code()

    await page.goto(f"{console.url}/sign-in#code={code}")
    field = page.get_by_label("Code")
    await page.wait_for_function("document.querySelector('#code').value !== ''")

    assert await field.input_value() == code
    assert page.url == f"{console.url}/sign-in"
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(console.url)
    assert await console.codes.use(code) is None
