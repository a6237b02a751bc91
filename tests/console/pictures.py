"""Writes the pictures of the console for the docs: `python -m tests.console.pictures`.

The data is made up, and lies in the last two hours.
"""

import argparse
import asyncio
import json
import tempfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import asyncpg
from PIL import Image
from playwright.async_api import Browser

from tests.console.browser import chromium, visitor
from tests.integration.metrics.filled_service import OURS
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.metrics.queried_log import id_at
from tests.integration.metrics.waiting_rows import add_wait
from tests.integration.migrations.log_calls import End, Webhook, accept, bury, finish
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes

ERRORS = (
    ("end-of-call-report", "TimeoutError", "POST https://crm.example/calls: no answer in 10 s"),
    ("end-of-call-report", "ClientResponseError", "422 Unprocessable: customer.phone is missing"),
    ("status-update", "PermanentFailure", "The booking 4711 is closed."),
    ("tool-calls", "KeyError", "'slot'"),
)


def event(event_type: str, call_id: str) -> str:
    message = {
        "type": event_type,
        "timestamp": 1764450000123,
        "call": {"id": call_id, "type": "inboundPhoneCall", "status": "ended"},
        "customer": {"number": "+15550100", "name": "Ada"},
        "endedReason": "customer-ended-call",
        "analysis": {"summary": "The customer moved the appointment to Tuesday at 9:30."},
        "cost": 0.1234,
        "artifact": {"recordingUrl": "https://storage.example/r/1.wav", "messages": []},
    }
    return json.dumps({"message": message})


def webhook(at: datetime, event_type: str, call_id: str) -> Webhook:
    """One that was accepted at this time, which is in its id."""
    return Webhook(
        id=id_at(at),
        org_id=OURS,
        event_type=event_type,
        event_data=event(event_type, call_id),
        call_id=call_id,
    )


async def fill(connection: asyncpg.Connection) -> Webhook:
    """Give the webhook whose page is shown."""
    now = datetime.now(UTC)
    call_id = "7f1c2e0a-9d3b-4c55-8a41-5d2f60b0c9e1"
    shown = webhook(now - timedelta(minutes=95), *ERRORS[1][:1], call_id)
    for minute in range(100, 1, -2):
        for event_type in ("status-update", "end-of-call-report"):
            at = now - timedelta(minutes=minute)
            one = webhook(at, event_type, f"call-{minute}")
            await finish(connection, End(one, ended_at=at + timedelta(seconds=0.4)))
    for number, (event_type, *error) in enumerate(ERRORS):
        for index in range(9 // (number + 1)):
            at = now - timedelta(minutes=90 - 9 * index - number)
            one = webhook(at, event_type, f"call-{200 + 10 * number + index}")
            await fail(connection, one, at, (error[0], error[1]))
    await fail(connection, shown, now - timedelta(minutes=95), ERRORS[1][1:])
    await accept(connection, webhook(now - timedelta(seconds=9), "status-update", call_id))
    for due_s in (40, 200, 900):
        await add_wait(connection, OURS, due_in_s=due_s, event={"message": {"type": "tool-calls"}})
    await add_wait(connection, OURS, reason="destination", destination="crm")
    await connection.execute(
        "UPDATE webhook_delivery_attempts SET trace_id = md5(delivery_id::text || attempt)"
    )
    return shown


async def fail(
    connection: asyncpg.Connection, one: Webhook, at: datetime, error: tuple[str, str]
) -> None:
    for attempt, after_s in enumerate((1, 4, 9, 18), start=1):
        end = End(one, "failed", attempt, error, ended_at=at + timedelta(seconds=after_s))
        await finish(connection, end)
    await bury(connection, one, error=error)


async def take(
    browser: Browser, service: MetricsProcess, shown: Webhook, wanted: argparse.Namespace
) -> None:
    paths = {
        "failures": "/failures",
        "webhook": f"/webhooks/{shown.id}",
    }
    if wanted.all:
        paths |= {
            "now": "",
            "group": "/failures/group?type=end-of-call-report&error=TimeoutError",
            "search": "/search?q=type:end-of-call-report",
            "runs": "/runs",
            "run-new": "/runs/new?type=end-of-call-report",
            "call": f"/calls/{shown.call_id}",
            "changes": "/changes",
            "endpoints": "/endpoints",
            "sign-in": "/sign-in",
        }
    origin = f"http://127.0.0.1:{service.rest_port}"
    for scheme in wanted.schemes:
        for width in wanted.widths:
            size = {"width": width, "height": 900}
            async with visitor(browser, origin, color_scheme=scheme, viewport=size) as page:
                for name, path in paths.items():
                    await page.goto(f"/console{path}")
                    end = "" if (width, scheme) == (1280, "light") else f"-{scheme}-{width}"
                    file = wanted.into / f"console-{name}{end}.png"
                    picture = await page.screenshot(full_page=wanted.all)
                    # With few colours the file is a third as large, and looks the same.
                    Image.open(BytesIO(picture)).quantize(64).save(file, optimize=True)


async def write(wanted: argparse.Namespace) -> None:
    nodes = SessionNodes(["broker", "database_url"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                nodes.place("2s,4s,8s") as (amqp_url, database_url),
                metrics_process(
                    Path(folder), amqp_url=amqp_url, database_url=database_url
                ) as service,
                chromium() as browser,
            ):
                connection = await asyncpg.connect(database_url)
                shown = await fill(connection)
                await connection.close()
                await eventually(service.is_ready)
                await take(browser, service, shown, wanted)
    finally:
        nodes.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--widths", type=int, nargs="+", default=[1280])
    parser.add_argument("--schemes", nargs="+", default=["light"])
    parser.add_argument("--all", action="store_true", help="all pages, in their whole length")
    asyncio.run(write(parser.parse_args()))
