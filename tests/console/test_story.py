"""With the keyboard alone: from signing in to a retried dead letter that completes."""

from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from tests.acceptance.whole import Whole, calling, whole_ringback
from tests.console.browser import tab_to, visitor
from tests.support.tokens import CONSOLE_SECRET, bearer

SETTINGS = {
    "RINGBACK_CONSOLE_SECRET": CONSOLE_SECRET,
    "RINGBACK_HANDLERS": "tests.support.calling_handler",
    "RINGBACK_OUTGOING_NETWORKS": "127.0.0.0/8",
}


class Shop:
    """A backend that refuses everything until it is mended."""

    def __init__(self) -> None:
        self.status = 422

    async def answer(self, _: web.BaseRequest) -> web.Response:
        return web.Response(status=self.status)


async def sign_in_link(whole: Whole) -> str:
    url = f"{whole.rest_url}/api/webhook-metrics/console-codes"
    async with whole.http.post(url, json={}, headers={"Authorization": bearer()}) as answer:
        document = await answer.json()
    return f"/console/sign-in#code={document['code']}"


async def test_the_keyboard_leads_from_signing_in_to_a_completed_retry(
    amqp_url: str, database_url: str, tmp_path: Path, browser: Browser
) -> None:
    shop = Shop()
    app = web.Application()
    app.router.add_post("/", shop.answer)
    async with (
        TestServer(app) as server,
        whole_ringback(amqp_url, database_url, tmp_path, **SETTINGS) as whole,
        visitor(browser, whole.rest_url, role="nobody") as page,
    ):
        job_id = await whole.accepted(calling(str(server.make_url("/"))))
        assert await whole.settled([job_id]) == ["dead_letter"]
        shop.status = 200
        keys = page.keyboard

        await page.goto(await sign_in_link(whole))
        await expect(page.locator("h1")).to_have_text("Now")
        # By then its script knows the keys.
        await page.wait_for_load_state()
        await keys.press("g")
        await keys.press("f")
        await expect(page.locator("h1")).to_have_text("Failures")
        await page.wait_for_load_state()
        await keys.press("j")
        await keys.press("Enter")
        await expect(page.locator("h1")).to_contain_text("test.call")
        await tab_to(page, "form[action$='retry-one'] button")
        await keys.press("Enter")

        await expect(page.locator("main")).to_contain_text("It completed.")
