"""Every page: with data and without, for everybody, and while its sources are away."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.runtime.amqp import topology
from ringback.runtime.postgres.migrate import migrate
from tests.console.browser import is_too_wide, violations, visitor
from tests.console.places import PLAIN, Place, origin, places
from tests.integration.metrics.filled_service import OURS, FilledService
from tests.integration.metrics.metrics_process import metrics_process
from tests.support.eventually import eventually

pytestmark = pytest.mark.slow

NARROW = ViewportSize(width=320, height=640)
WIDE = ViewportSize(width=1280, height=800)
ACTIONS = "(forms) => forms.map((form) => new URL(form.action).pathname)"
FORMS_OF_TENANT = re.compile(
    r"/console/(sign-out|sign-in|runs(/[^/]+)?|failures/(retry-one|decide)"
    r"|webhooks/[^/]+/(retry|discard|run|release|cancel))"
)
FORM_OF_NOBODY = re.compile(r"/console/sign-in")
OPERATOR: dict[str, Any] = {}
TENANT: dict[str, Any] = {"org_id": OURS}
NEED_NO_DATABASE = {"/sign-in", "/nothing", "/search?q=status:nothing"}


async def flaws(page: Page, place: Place, *, also_narrow: bool = True) -> list[str]:
    """Open the page; what is wrong with it."""
    answer = await page.goto(f"/console{place.path}")
    assert answer is not None
    found = [] if answer.status == place.status else [f"status {answer.status}"]
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    found += await violations(page)
    if also_narrow:
        await page.set_viewport_size(NARROW)
        found += ["wider than 320 px"] if await is_too_wide(page) else []
        await page.set_viewport_size(WIDE)
    return [f"{place.path}: {flaw}" for flaw in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_with_data(filled: FilledService, browser: Browser, scheme: str) -> None:
    async with visitor(browser, origin(filled), color_scheme=scheme, viewport=WIDE) as page:
        found = [flaw for place in places(filled) for flaw in await flaws(page, place)]

    assert not found, "\n".join(found)


async def test_nobody_has_a_form_that_is_not_for_them(
    filled: FilledService, browser: Browser
) -> None:
    """Another organisation's webhook is on no page; a form that is made by hand is refused."""
    theirs = f"/webhooks/{filled.theirs}"
    forged = {"/processing/pause": 403, f"{theirs}/retry": 404, f"{theirs}/discard": 404}
    rest = dict.fromkeys((*forged, f"/webhooks/{filled.dead[0]}/retry", "/runs"), 401)
    for who, allowed, refused in (
        (TENANT, FORMS_OF_TENANT, forged),
        ({"role": "reader"}, FORM_OF_NOBODY, rest),
        ({"role": "nobody"}, FORM_OF_NOBODY, rest),
    ):
        async with visitor(browser, origin(filled), viewport=WIDE, **who) as page:
            found = []
            for place in (Place(theirs, 404), *places(filled)):
                answer = await page.goto(f"/console{place.path}")
                is_page = who is TENANT or place.path == "/sign-in"
                assert (answer and answer.status) == (place.status if is_page else 401), place
                found += await page.locator("form[method=post]").evaluate_all(ACTIONS)
                if place.path != theirs:
                    assert str(filled.theirs) not in await page.locator("main").inner_html()
            assert not [path for path in found if not allowed.fullmatch(path)]
            assert found
            for path, status in refused.items():
                forgery = await page.request.post(
                    f"/console{path}",
                    form={"reason": "x", "request_id": str(uuid4())},
                    headers={"Sec-Fetch-Site": "same-origin"},
                )
                assert forgery.status == status, path


async def test_pages_without_data_and_without_their_sources(
    own_database: PrivateDatabase, own_amqp_url: str, own_broker: PrivateBroker,
    tmp_path: Path, browser: Browser,
) -> None:  # fmt: skip
    """A page whose source is away names it, is grey, and keeps its navigation."""
    await migrate(own_database.url())
    await topology.apply(own_amqp_url, RetrySchedule.parse("2s,4s,8s"))
    async with metrics_process(
        tmp_path, amqp_url=own_amqp_url, database_url=own_database.url()
    ) as service:
        await eventually(service.is_ready)
        at = f"http://127.0.0.1:{service.rest_port}"
        for who in (OPERATOR, TENANT):
            async with visitor(browser, at, viewport=WIDE, **who) as page:
                found = [flaw for place in PLAIN for flaw in await flaws(page, place)]
                assert not found, "\n".join(found)

        await own_broker.kill()
        async with visitor(browser, at, viewport=WIDE) as page:
            await page.goto("/console")
            # Also after the script has read the page again.
            await expect(page.locator("main")).to_contain_text("The broker does not answer")
            await expect(page.locator("section.stale[data-region=queues]")).to_be_visible()
            for place in PLAIN:
                answer = await page.goto(f"/console{place.path}")
                assert (answer and answer.status) == place.status, place

        await own_database.kill()
        for who in (OPERATOR, TENANT):
            async with visitor(browser, at, viewport=WIDE, **who) as page:
                for place in PLAIN:
                    answer = await page.goto(f"/console{place.path}")
                    assert answer is not None
                    assert answer.status != 500, place
                    await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
                    if place.path not in NEED_NO_DATABASE:
                        away = page.locator("main .away", has_text="database")
                        await expect(away.first).to_be_visible()
