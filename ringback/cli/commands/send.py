"""`ringback send`: sends webhooks and reports the answers and outcomes."""

import asyncio
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ringback.cli.client.addresses import WEBHOOK_PATH, Addresses
from ringback.cli.client.database import database
from ringback.cli.load.load_generator import Bodies, LoadPlan, SendStats, percentile, post_all
from ringback.cli.load.outcomes import Outcomes, wait_for_outcomes
from ringback.cli.load.payload_template import (
    NotJsonObjectError,
    Payload,
    payload_of,
    sent_at_ms,
    shift_timestamps,
    template_of,
)
from ringback.cli.options import Flag
from ringback.cli.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInputError,
    complain,
    out,
    stop_on_interrupt,
)
from ringback.cli.views.formatting import progress_bar
from ringback.runtime.process import event_loop

_EXAMPLES = """Examples:

    ringback send end-of-call-report
    ringback send my-event.json --same --count 2     the second is a duplicate
    ringback send hang --count 10000 --rate 500      a steady load
    ringback send tool-calls --count 5000 --wait     check that all are processed
"""

_REFRESH_S = 0.1
send = App(name="send", help_epilogue=_EXAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """The command-line options of `ringback send`."""

    payload: Payload
    plan: LoadPlan
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
    same: Flag = False,
    wait: Flag = False,
    within: Annotated[float, Parameter(validator=Number(gt=0))] = 120.0,
    timeout: Annotated[float, Parameter(validator=Number(gt=0))] = 30.0,
) -> int:
    """Send webhooks to the gateway, one or many, and summarise its responses.

    Each copy is a different event, with its own call id, tool call ids and time. A file that is no
    plain JSON object is sent unchanged. The exit status is 0 only if every webhook was accepted
    and, with --wait, each ended exactly once.

    Parameters
    ----------
    what
        The name of a sample (end-of-call-report, status-update-ended, hang, ...) or a JSON file.
    count
        How many to send.
    rate
        Send this many per second at even intervals, independent of the responses. By default, the
        next one is sent when a response arrives.
    concurrency
        Maximum number of requests in flight.
    url
        The gateway. The default path is /api/webhooks/vapi. [default: $RINGBACK_GATEWAY_URL, else
        the local stack]
    same
        Send identical copies: all but the first are duplicates.
    wait
        Wait until the delivery log shows how each accepted webhook ended.
    within
        Maximum seconds to wait with --wait.
    timeout
        Maximum seconds to wait for one response.
    """
    addresses = Addresses.from_env()
    plan = LoadPlan(
        url=_webhook_url(url or addresses.gateway_url),
        headers=addresses.secret_headers,
        count=count,
        rate_per_s=rate,
        concurrency=concurrency,
        timeout_s=timeout,
    )
    options = SendOptions(
        payload=payload_of(what), plan=plan, same=same, wait=wait, within_s=within
    )
    return event_loop.run(_send_all(options, addresses.database))


async def _send_all(options: SendOptions, database_url: str) -> int:
    stats = SendStats()
    with stop_on_interrupt() as stop:
        bodies = _bodies(options)
        try:
            await _post(options.plan, bodies, stats, stop)
        except asyncio.CancelledError:
            complain(
                "Interrupted. The gateway may have accepted webhooks that are not counted here."
            )
        out().print(sent_table(options.payload.name, stats))
        done = stats.all_accepted
        if options.wait and stats.accepted and not stop.is_set():
            outcomes = await _wait(options, stats, database_url, stop)
            out().print(outcomes_table(outcomes))
            done = done and outcomes.is_complete
        if stop.is_set():
            return EXIT_INTERRUPTED
    return 0 if done else EXIT_FAILED


async def _post(plan: LoadPlan, bodies: Bodies, stats: SendStats, stop: asyncio.Event) -> None:
    began = time.monotonic()
    with progress_bar(
        ("{task.fields[rate]:,.0f}/s", ""),
        ("{task.fields[ok]:,} accepted", "green"),
        ("{task.fields[bad]}", "red"),
    ) as bar:
        task = bar.add_task("Sending", total=plan.count, rate=0.0, ok=0, bad="")

        async def refresh() -> None:
            while True:
                bad = stats.rejected.total() + stats.errors.total()
                done = stats.accepted + bad
                elapsed_s = max(time.monotonic() - began, _REFRESH_S)
                words = f"{bad:,} not accepted" if bad else ""
                bar.update(
                    task, completed=done, rate=done / elapsed_s, ok=stats.accepted, bad=words
                )
                await asyncio.sleep(_REFRESH_S)

        refreshing = asyncio.create_task(refresh())
        try:
            await post_all(plan, bodies, stats, stop)
        finally:
            refreshing.cancel()


async def _wait(
    options: SendOptions, stats: SendStats, database_url: str, stop: asyncio.Event
) -> Outcomes:
    with progress_bar() as bar:
        task = bar.add_task("Processing", total=stats.accepted)
        async with database(database_url) as connection:
            return await wait_for_outcomes(
                connection,
                stats.job_ids,
                within_s=options.within_s,
                stop=stop,
                on_progress=lambda outcomes: bar.update(task, completed=outcomes.finished),
            )


def _bodies(options: SendOptions) -> Bodies:
    body = options.payload.body
    if options.same:
        return lambda _number: body
    start_ms = round(time.time() * 1000)
    if options.payload.is_sample:
        body = shift_timestamps(body, start_ms - sent_at_ms(body))
    try:
        template = template_of(body)
    except NotJsonObjectError as exc:
        if options.plan.count == 1:
            # The gateway decides: it takes more than plain JSON objects.
            return lambda _number: body
        raise BadInputError(
            f"{options.payload.name} is not a plain JSON object, so copies of it cannot get ids of "
            "their own. Use --same to send it unchanged; the gateway may accept it."
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


_GOOD, _BAD, _DIM = "green", "red", "dim"
_STATUS_STYLES = {"completed": _GOOD, "duplicate": "cyan", "dead_letter": "yellow"}


def sent_table(name: str, stats: SendStats) -> RenderableType:
    """A summary of the responses, then the reasons of rejections."""
    table = _figures()
    table.add_row("payload", Text(name))
    table.add_row("offered", f"{stats.offered:,}")
    table.add_row("accepted", Text(f"{stats.accepted:,}", _GOOD if stats.all_accepted else ""))
    for status, count in sorted(stats.rejected.items()):
        table.add_row(f"rejected {status}", Text(f"{count:,}  {_phrase(status)}", _BAD))
    for words, count in sorted(stats.errors.items()):
        table.add_row("error", Text(f"{count:,}  {words}", _BAD))
    table.add_row("took", _took(stats))
    # Percentiles of a single response are useless.
    for percent in (50, 99) if stats.offered > 1 else ():
        latency_ms = percentile(stats.latencies_ms, percent)
        if latency_ms is not None:
            table.add_row(f"response p{percent}", f"{latency_ms:,.1f} ms")
    if stats.offered == stats.accepted == 1:
        table.add_row("job id", stats.job_ids[0])
    reasons = [
        Text(f"{status}: {reason}", _BAD)
        for status, reason in sorted(stats.reasons.items())
        if reason
    ]
    return Group(table, *reasons)


def outcomes_table(outcomes: Outcomes) -> RenderableType:
    table = _figures()
    left = outcomes.accepted - outcomes.finished
    finished = f"{outcomes.finished:,} of {outcomes.accepted:,}"
    table.add_row("finished", Text(finished, _BAD if left else _GOOD))
    for status, count in sorted(outcomes.by_status.items()):
        words = status.replace("_", " ")
        table.add_row(f"  {words}", Text(f"{count:,}", _STATUS_STYLES.get(status, "")))
    if left:
        table.add_row("not finished", Text(f"{left:,}", _BAD))
    if outcomes.retried:
        table.add_row("retried", f"{outcomes.retried:,}")
    twice = outcomes.completed_twice + outcomes.repeated_job_ids
    table.add_row("ended twice", Text(f"{twice:,}" if twice else "none", _BAD if twice else _GOOD))
    return table


def _figures() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style=_DIM, no_wrap=True, min_width=12)
    table.add_column(overflow="fold")
    return table


def _took(stats: SendStats) -> str:
    seconds = stats.elapsed_s
    time = f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
    rate = f", {stats.rate_per_s:,.0f} accepted per second" if stats.accepted > 1 else ""
    return time + rate


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
