import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number

from ringback.cli.addresses import WEBHOOK_PATH, Addresses
from ringback.cli.copies import NotJsonObjectError, template_of
from ringback.cli.database import database
from ringback.cli.failure import BadInputError
from ringback.cli.interrupt import stop_on_interrupt
from ringback.cli.outcomes import Outcomes, wait_for_outcomes
from ringback.cli.payload import Payload, payload_of
from ringback.cli.posting import Bodies, Plan, post_all
from ringback.cli.retime import moved, sent_at_ms
from ringback.cli.send_screen import outcomes_table, progress_bar, sent_table
from ringback.cli.tally import Tally
from ringback.cli.terminal import EXIT_FAILED, EXIT_INTERRUPTED, complain, out

_EXAMPLES = """Examples:

    ringback send end-of-call-report
    ringback send my-event.json --same --count 2     the second is a duplicate
    ringback send hang --count 10000 --rate 500      a steady load
    ringback send tool-calls --count 5000 --wait     see that all are processed
"""

_REFRESH_S = 0.1
_FLAG = Parameter(negative="", show_default=False)

send = App(name="send", help_epilogue=_EXAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options on the command line."""

    payload: Payload
    plan: Plan
    same: bool
    wait: bool
    within_s: float


@send.default
def _send(
    what: str,
    /,
    *,
    count: Annotated[int, Parameter(validator=Number(gte=1, lte=10_000_000))] = 1,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    concurrency: Annotated[int, Parameter(validator=Number(gte=1, lte=1024))] = 64,
    url: str | None = None,
    same: Annotated[bool, _FLAG] = False,
    wait: Annotated[bool, _FLAG] = False,
    within: Annotated[float, Parameter(validator=Number(gt=0))] = 120.0,
    timeout: Annotated[float, Parameter(validator=Number(gt=0))] = 30.0,
) -> int:
    """Send webhooks to the gateway, one or many, and tell how it answered.

    Each copy is an event of its own: it has its own call id, tool call ids and time. The exit
    status is 0 only if every webhook was accepted and, with --wait, processed to its end, once.

    Parameters
    ----------
    what
        The name of a sample (end-of-call-report, status-update-ended, hang, ...) or a JSON file.
    count
        How many to send.
    rate
        Send this many per second, evenly, however fast the answers come. Without it: as fast as
        answers come.
    concurrency
        How many may wait for their answer at once.
    url
        The gateway. Without a path, /api/webhooks/vapi is meant. [default: $RINGBACK_GATEWAY_URL,
        else the local stack]
    same
        Send identical copies, byte by byte: all but the first are duplicates.
    wait
        Wait until the delivery log shows how each accepted webhook ended.
    within
        How many seconds to wait for that.
    timeout
        How many seconds to wait for one answer.
    """
    addresses = Addresses.from_env()
    plan = Plan(
        url=_webhook_url(url or addresses.gateway_url),
        headers=addresses.secret_headers,
        count=count,
        rate_per_s=rate,
        concurrency=concurrency,
        timeout_s=timeout,
    )
    wish = Wish(payload=payload_of(what), plan=plan, same=same, wait=wait, within_s=within)
    return uvloop.run(_carry_out(wish, addresses.database))


async def _carry_out(wish: Wish, database_url: str) -> int:
    tally = Tally()
    with stop_on_interrupt() as stop:
        bodies = _bodies(wish)
        try:
            await _post(wish.plan, bodies, tally, stop)
        except asyncio.CancelledError:
            complain("Broken off; some webhooks may have been accepted without our knowing.")
        out().print(sent_table(wish.payload.name, tally))
        done = tally.all_accepted
        if wish.wait and tally.accepted and not stop.is_set():
            outcomes = await _wait(wish, tally, database_url, stop)
            out().print(outcomes_table(outcomes))
            done = done and outcomes.all_well
        if stop.is_set():
            return EXIT_INTERRUPTED
    return 0 if done else EXIT_FAILED


async def _post(plan: Plan, bodies: Bodies, tally: Tally, stop: asyncio.Event) -> None:
    began = time.monotonic()
    with progress_bar(
        ("{task.fields[rate]:,.0f}/s", ""),
        ("{task.fields[ok]:,} accepted", "green"),
        ("{task.fields[bad]}", "red"),
    ) as bar:
        task = bar.add_task("Sending", total=plan.count, rate=0.0, ok=0, bad="")

        async def refresh() -> None:
            while True:
                bad = tally.refused.total() + tally.errors.total()
                done = tally.accepted + bad
                elapsed_s = max(time.monotonic() - began, _REFRESH_S)
                words = f"{bad:,} not accepted" if bad else ""
                bar.update(
                    task, completed=done, rate=done / elapsed_s, ok=tally.accepted, bad=words
                )
                await asyncio.sleep(_REFRESH_S)

        refreshing = asyncio.create_task(refresh())
        try:
            await post_all(plan, bodies, tally, stop)
        finally:
            refreshing.cancel()


async def _wait(wish: Wish, tally: Tally, database_url: str, stop: asyncio.Event) -> Outcomes:
    with progress_bar() as bar:
        task = bar.add_task("Processing", total=tally.accepted)
        async with database(database_url) as connection:
            return await wait_for_outcomes(
                connection,
                tally.job_ids,
                within_s=wish.within_s,
                stop=stop,
                on_progress=lambda outcomes: bar.update(task, completed=outcomes.finished),
            )


def _bodies(wish: Wish) -> Bodies:
    body = wish.payload.body
    if wish.same:
        return lambda _number: body
    start_ms = round(time.time() * 1000)
    if wish.payload.is_sample:
        body = moved(body, start_ms - sent_at_ms(body))
    try:
        template = template_of(body)
    except NotJsonObjectError as exc:
        raise BadInputError(
            f"{wish.payload.name} is not a JSON object, so its copies cannot be told apart; "
            "--same sends it as it is."
        ) from exc
    run = secrets.token_hex(8)
    return lambda number: template.copy(number, run=run, start_ms=start_ms)


def _webhook_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise BadInputError(f"{url!r} is not a URL such as http://127.0.0.1:8080.")
    return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{WEBHOOK_PATH}"
