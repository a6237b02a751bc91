"""A real browser that notes what a page of the console must not do."""

import json
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    async_playwright,
)

from ringback.services.metrics.console.session import SignedValues
from tests.support.tokens import CONSOLE_SECRET

CHROMIUM = shutil.which("chromium")
MISSING = "Chromium is missing: sh ringback/local/install.sh chromium"
PATIENCE_MS = 60_000

_AXE_OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
}
#: A page that was answered with an error is logged as one.
_ANSWERED = "Failed to load resource: the server responded with a status of"
_SCROLLS = """() => [document.documentElement, ...document.querySelectorAll(".scroll")]
    .some((part) => part.scrollWidth > part.clientWidth)"""
_TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visitor(
    browser: Browser, origin: str, *, org_id: UUID | None = None, role: str = "", **to: Any
) -> AsyncGenerator[Page]:
    """A browser of a person, an operator without `org_id`; `to` are options of the context.

    Of another `role` than those that there are, `nobody` has no session.

    Afterwards: no page has had an error, broken its policy, asked another origin, or opened a box.
    """
    problems: list[str] = []
    context = await browser.new_context(base_url=origin, **to)
    context.set_default_timeout(PATIENCE_MS)
    await _listen(context, origin, problems)
    if role != "nobody":
        await context.add_cookies([_session(org_id, role)])
    try:
        yield await context.new_page()
    finally:
        await context.close()
    assert problems == [], problems


async def _listen(context: BrowserContext, origin: str, problems: list[str]) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_ANSWERED):
            problems.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{origin}/", "data:")):
            problems.append(f"asked {request.url}")

    def on_response(response: Response) -> None:
        if "/static/" in response.url and not response.ok:
            problems.append(f"{response.status} {response.url}")

    async def on_dialog(dialog: Dialog) -> None:
        problems.append(f"opened a box: {dialog.message}")
        await dialog.dismiss()

    context.on("console", on_console)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on("request", on_request)
    context.on("response", on_response)
    context.on("dialog", on_dialog)
    await context.add_init_script(_TELL_VIOLATIONS)


def _session(org_id: UUID | None, role: str) -> Any:
    claims = {"sub": "ada", "role": role or ("tenant" if org_id else "service")}
    org = {"org_id": str(org_id)} if org_id else {}
    signed = SignedValues(CONSOLE_SECRET).sign("ringback-console", claims | org, 3600)
    return {"name": "ringback", "value": signed, "domain": "127.0.0.1", "path": "/console"}


async def violations(page: Page) -> list[str]:
    """What the page has against WCAG 2.2 AA, as far as a program can see it."""
    found = await Axe().run(page, options=_AXE_OPTIONS)
    return [
        json.dumps([one["id"], [(node["html"][:200], node["target"]) for node in one["nodes"][:3]]])
        for one in found.response["violations"]
    ]


async def is_too_wide(page: Page) -> bool:
    """Whether the whole page, or a table of it, scrolls to the side."""
    return bool(await page.evaluate(_SCROLLS))


async def tab_to(page: Page, selector: str) -> None:
    """Move the focus with Tab until it is on an element of `selector`."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if await page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the key Tab")
