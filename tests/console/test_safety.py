"""Other sites, other organisations, browsers without JavaScript, and pages in use."""

import pytest
from playwright.async_api import Browser, expect

from tests.console.browser import visitor
from tests.console.places import origin, places
from tests.integration.metrics.filled_service import OURS, THEIRS, FilledService

_MARK = """() => {
    const mark = document.createElement("i");
    mark.id = "mark";
    document.querySelector("[data-region]").append(mark);
}"""
EVIL = "http://127.0.0.1:1/"
GROUP = "/console/failures/group?type=call.ended&error=ConnectionError"


async def test_two_organisations_see_their_own(filled: FilledService, browser: Browser) -> None:
    for org_id, own, other in (
        (OURS, filled.dead[0], filled.theirs),
        (THEIRS, filled.theirs, filled.dead[0]),
    ):
        async with visitor(browser, origin(filled), org_id=org_id) as page:
            for path in (GROUP, "/console/search?q=type:call.ended", "/console/failures"):
                await page.goto(path)
                await expect(page.locator(f"main a[href$='{own}']").first).to_be_visible()
                assert str(other) not in await page.locator("main").inner_html()


@pytest.mark.slow
async def test_another_site_cannot_retry(filled: FilledService, browser: Browser) -> None:
    """Its form carries the session's cookie if it is the same host with another port."""
    target = f"{origin(filled)}/console/failures/retry-one"
    form = (
        f'<form method="post" action="{target}"><input name="job_id" value="{filled.dead[0]}">'
        "<button>Win</button></form>"
    )

    async with visitor(browser, origin(filled)) as page:
        cookies = await page.context.cookies()
    context = await browser.new_context()
    await context.add_cookies(cookies)  # type: ignore[arg-type]  # they are what it takes
    page = await context.new_page()
    # A page of another port, which the test answers.
    await page.route(EVIL, lambda route: route.fulfill(body=form, content_type="text/html"))
    await page.goto(EVIL)
    async with page.expect_navigation() as navigation:
        await page.get_by_role("button").click()

    assert (await navigation.value).status == 403
    await expect(page.locator("main")).to_contain_text("was not sent by a page of the console")


@pytest.mark.slow
async def test_all_works_without_javascript(filled: FilledService, browser: Browser) -> None:
    async with visitor(browser, origin(filled), java_script_enabled=False) as page:
        for place in places(filled):
            answer = await page.goto(f"/console{place.path}")
            assert (answer and answer.status) == place.status, place
        await page.goto(GROUP)
        await page.get_by_label(f"Select {filled.dead[0]}").check()
        await page.get_by_role("button", name="Retry the selected").click()
        await expect(page.get_by_role("status").filter(has_text="1 decided")).to_be_visible()
        await expect(page.get_by_label(f"Select {filled.dead[0]}")).to_have_count(0)


@pytest.mark.slow
async def test_regions_are_replaced_except_where_somebody_works(
    filled: FilledService, browser: Browser
) -> None:
    """A mark in a region is gone after the next poll, and stays while the page is in use."""
    async with visitor(browser, origin(filled)) as page:
        for key, leave in (("?", "Escape"), ("/", "Tab")):
            await page.clock.install()
            await page.goto("/console/failures")
            await page.evaluate(_MARK)
            await page.keyboard.press(key)
            await page.clock.run_for(60_000)
            assert await page.locator("#mark").count() == 1

            await page.keyboard.press(leave)
            await page.clock.run_for(6_000)
            await expect(page.locator("#mark")).to_have_count(0)
