"""Events that try to become more than text on the page of their webhook."""

import json

import asyncpg
import pytest
from playwright.async_api import Browser, expect

from tests.console.browser import visitor
from tests.console.places import origin
from tests.integration.metrics.filled_service import FilledService, webhooks
from tests.integration.migrations.log_calls import End, bury, finish

pytestmark = pytest.mark.slow

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
BIDI = "a\u202eb\u2066c\u0001\u200bd"
#: Each with a text that its page shows.
EVENTS = {
    "script": (json.dumps({"type": "hang", SCRIPT: SCRIPT}), SCRIPT),
    "link": (json.dumps({"type": "hang", "url": "javascript:alert(1)"}), "javascript:alert(1)"),
    "bidi": (json.dumps({"type": "hang", BIDI: BIDI}), "U+202E"),
    "number": ('{"type": "hang", "n": 12345678901234567890.10}', "12345678901234567890.10"),
    "long": (json.dumps({"type": "hang", "text": "x" * 2**23}), "This is the beginning."),
    "keys": (json.dumps({f"key-{n}": n for n in range(10_000)}), "key-0"),
    "deep": ('{"a":' * 500 + "1" + "}" * 500, '"a"'),
}


async def test_hostile_events_stay_text(filled: FilledService, browser: Browser) -> None:
    job_ids = {}
    connection = await asyncpg.connect(filled.database_url)
    for name, (event, _) in EVENTS.items():
        [one] = webhooks(1, event_data=event, event_type=f"{SCRIPT}{BIDI}"[:100], call_id=SCRIPT)
        error = (SCRIPT, f"{BIDI} {SCRIPT}")
        await finish(connection, End(one, "failed", 4, error))
        await bury(connection, one, error=error)
        job_ids[name] = one.id
    await connection.close()

    async with visitor(browser, origin(filled)) as page:
        for name, (_, shown) in EVENTS.items():
            answer = await page.goto(f"/console/webhooks/{job_ids[name]}")
            assert answer is not None
            assert answer.status == 200, name
            await expect(page.locator("main")).to_contain_text(shown)
            assert await page.locator("main script, main img, main [onerror]").count() == 0
            assert await page.locator("a[href^='javascript:' i]").count() == 0
        for path in ("/failures", "/search?q=status:dead_letter", "/", "/changes"):
            await page.goto(f"/console{path}")
            assert await page.locator("main script, main img").count() == 0
