"""How fast the console shows each page when the log has ten million webhooks.

    python -m benchmarks.console_speed --data /somewhere/with/20-GB
    python -m benchmarks.console_speed --quick            100,000 webhooks, in about two minutes

A broker, a database with the settings of `make run`, and a metrics service of its own are started.
One page is opened after the other, as a person of the service, of the organisation with 60 % of the
webhooks, and of a small one. Each request is about other webhooks, calls and times than the one
before. Prints a table in Markdown.
"""

import argparse
import asyncio
import os
import random
import re
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.fill_log import BIG_ORG, fill_visibly
from ringback.cli.load.load_generator import percentile
from ringback.local.child import LocalStackError
from ringback.runtime.postgres.queries import load

SMALL_ORG = UUID("00000000-0000-4000-8000-000000000003")
CALLERS = {"service": None, "60 % of the log": BIG_ORG, "0.2 %": SMALL_ORG}
_ROWS, _QUICK_ROWS = 10_000_000, 100_000
_EXAMPLES = 200
_LIMIT_MS = 300
_WARM_UPS = 3

_RANDOM = random.SystemRandom()
_LAST_ORG = UUID(int=SMALL_ORG.int + 10)

Make = Callable[["Examples"], str]


@dataclass(frozen=True, slots=True)
class Examples:
    """Ids that the pages of one caller are about."""

    jobs: dict[str, list[str]]
    calls: list[str]
    runs: list[str]

    def job(self, kind: str) -> str:
        return _RANDOM.choice(self.jobs[kind] or [_NOBODY])

    def call(self) -> str:
        return _RANDOM.choice(self.calls)


def _searched(*terms: str) -> str:
    return "/search?" + urlencode({"q": " ".join(terms)})


def _ago(most_days: float = 30) -> str:
    seconds = _RANDOM.uniform(3600, most_days * 86_400)
    return f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M}"


_GROUP = "/failures/group?type=transcript&error=TimeoutError"
_NOBODY = "00000000-0000-4000-8000-0000000000ff"
PAGES: dict[str, Make] = {
    "Now": lambda _: "/",
    "Failures": lambda _: "/failures",
    "Failures of one group": lambda _: _GROUP,
    "Failures of one group, next page": lambda _: f"{_GROUP}&NEXT",
    "Webhook, completed": lambda of: f"/webhooks/{of.job('completed')}",
    "Webhook, dead letter": lambda of: f"/webhooks/{of.job('dead_letter')}",
    "Webhook, retried": lambda of: f"/webhooks/{of.job('retried')}",
    "Webhook, duplicate": lambda of: f"/webhooks/{of.job('duplicate')}",
    "Webhook, by the beginning of its id": lambda of: f"/webhooks/{of.job('completed')[:18]}",
    "Call": lambda of: f"/calls/{of.call()}",
    "Call, in the order of its own times": lambda of: f"/calls/{of.call()}?order=own",
    "Search, everything": lambda _: "/search",
    "Search, everything, next page": lambda _: "/search?NEXT",
    "`type:`": lambda _: _searched("type:hang"),
    "`type:`, no match": lambda _: _searched("type:hangs"),
    "`status:completed`": lambda _: _searched("status:completed"),
    "`status:failed`": lambda _: _searched("status:failed"),
    "`status:dead-letter`": lambda _: _searched("status:dead-letter"),
    "`status:duplicate`": lambda _: _searched("status:duplicate"),
    "`status:pending`, no match": lambda _: _searched("status:pending"),
    "`call:`": lambda of: _searched(f"call:{of.call()}"),
    "`call:`, no match": lambda _: _searched(f"call:{secrets.token_hex(8)}"),
    "`error:`": lambda _: _searched("error:ValueError"),
    "`error:`, no match": lambda _: _searched("error:KeyError"),
    "`org:` large": lambda _: _searched(f"org:{BIG_ORG}"),
    "`org:` small": lambda _: _searched(f"org:{SMALL_ORG}"),
    "`org:`, no match": lambda _: _searched(f"org:{_NOBODY}"),
    "`since:`": lambda _: _searched(f"since:{_ago()}"),
    "`until:`": lambda _: _searched(f"until:{_ago()}"),
    "`job:`, 8 digits": lambda of: _searched(f"job:{of.job('completed')[:8]}"),
    "`job:`, one": lambda of: _searched(f"job:{of.job('completed')[:18]}"),
    "`job:`, no match": lambda _: _searched(f"job:0{secrets.token_hex(4)}"),
    "`type: status: until:`": lambda _: _searched("type:hang status:duplicate", f"until:{_ago()}"),
    "`type: error: since:`": lambda _: _searched("type:hang error:ValueError", f"since:{_ago()}"),
    "`type: error: until:`, no match": lambda _: _searched(
        "type:hangs error:ValueError", f"until:{_ago()}"
    ),
    "`org: status: since:`": lambda _: _searched(
        f"org:{SMALL_ORG} status:dead-letter", f"since:{_ago()}"
    ),
    "`org: type: until:`, no match": lambda _: _searched(
        f"org:{SMALL_ORG} type:hangs", f"until:{_ago()}"
    ),
    "`call: type:`": lambda of: _searched(f"call:{of.call()} type:transcript"),
    "`call: status:`, no match": lambda of: _searched(f"call:{of.call()} status:pending"),
    "Retry runs": lambda _: "/runs",
    "Retry run": lambda of: f"/runs/{_RANDOM.choice(of.runs or [_NOBODY])}",
    "New retry run, all dead letters": lambda _: "/runs/new",
    "New retry run, one group": lambda _: "/runs/new?type=hang&error=ValueError&since=7d",
    "New replay, six hours": lambda _: "/runs/new?kind=completed&type=hang&since=6h",
    "Changes": lambda _: "/changes",
    "Changes, by action and actor": lambda _: "/changes?action=pause&actor=grace",
    "Changes, of one webhook": lambda of: f"/changes?job={of.job('retried')}",
    "Changes, before a time, no match": lambda _: f"/changes?actor=nobody&until={_ago()}",
    "Endpoints": lambda _: "/endpoints",
}


@dataclass(frozen=True, slots=True)
class Caller:
    url: str
    token: str
    client: aiohttp.ClientSession

    async def get(self, path: str) -> str:
        """The page at a path, or that to which it leads. Raises SystemExit for an error."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.client.get(f"{self.url}/console{path}", headers=headers) as answer:
            text = await answer.text()
            if answer.status not in {200, 404}:
                raise SystemExit(f"{path} answered {answer.status}: {text[-2000:]}")
            return text

    async def resolved(self, path: str) -> str:
        """NEXT in a path is replaced by the token of the next page."""
        if not path.endswith("NEXT"):
            return path
        page = await self.get(path.removesuffix("NEXT").rstrip("?&"))
        link = re.search(r'rel="next" href="[^"]*?(/(?:search|failures/group)\?[^"]*)"', page)
        return unescape(link[1]) if link else path.removesuffix("NEXT").rstrip("?&")


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of the last page, and the time of each request."""

    rows: int
    times_ms: Sequence[float]

    def cells(self) -> str:
        values = [percentile(self.times_ms, percent) or 0 for percent in (50, 95, 99)]
        bold = "**" if values[1] > _LIMIT_MS else ""
        return f"{values[0]:.0f} / {bold}{values[1]:.0f}{bold} / {values[2]:.0f}"


async def measure(caller: Caller, make: Make, examples: Examples, requests: int) -> Measured:
    times, page = [], ""
    for n in range(_WARM_UPS + requests):
        path = await caller.resolved(make(examples))
        begin = time.perf_counter()
        page = await caller.get(path)
        if n >= _WARM_UPS:
            times.append((time.perf_counter() - begin) * 1000)
    return Measured(page.count("<tr data-row"), times)


async def _examples(stack: BenchStack, name: str) -> Examples:
    """Of the whole time, so that they lie on every day."""
    of_own = CALLERS[name]
    first, last = (of_own, of_own) if of_own else (UUID(int=SMALL_ORG.int + 1), _LAST_ORG)
    share = 8 if of_own == BIG_ORG else 256
    rows = await stack.sql(load("benchmarks", "examples.sql"), first, last, share)
    runs = await stack.sql(
        "SELECT id FROM webhook_retry_runs WHERE $1::uuid IS NULL OR org_id = $1 LIMIT 200", of_own
    )
    jobs = defaultdict[str, list[str]](list)
    for row in rows:
        jobs[row["kind"]].append(str(row["id"]))
    return Examples(jobs, [row["call_id"] for row in rows], [str(row["id"]) for row in runs])


@asynccontextmanager
async def _service(stack: BenchStack) -> AsyncGenerator[Callable[[UUID | None], Caller], None]:
    """The metrics service; gives a caller for an organisation, or for the service."""
    async with (
        stack.metrics(RINGBACK_CONSOLE_SECRET=secrets.token_hex(32)) as service,
        aiohttp.ClientSession() as client,
    ):

        def caller(org_id: UUID | None) -> Caller:
            claims = {"role": "tenant", "org_id": str(org_id)} if org_id else {"role": "service"}
            return Caller(service.rest_url, service.token(claims), client)

        yield caller


async def _fill(stack: BenchStack, rows: int, console: Console) -> int:
    """Fill the log unless it is filled; return how many webhooks it has."""
    [[count]] = await stack.sql("SELECT count(*) FROM webhook_delivery_log")
    if not count:
        await fill_visibly(stack.database_url, rows, console)
    [[has_more]] = await stack.sql("SELECT EXISTS (SELECT FROM webhook_retry_runs)")
    if not has_more:
        await stack.script(Path(__file__).parent / "sql" / "fill_around.sql")
        for statement in ("VACUUM ANALYZE", "SELECT rebuild_webhook_stats()", "CHECKPOINT"):
            await stack.sql(statement)
        [[count]] = await stack.sql("SELECT count(*) FROM webhook_delivery_log")
    await stack.sql("UPDATE webhook_gateways SET seen_at = now() + interval '1 day'")
    return int(count)


async def _run(given: argparse.Namespace, console: Console) -> None:
    pages = {name: make for name, make in PAGES.items() if given.only in name}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with bench_stack(given.data) as stack:
        count = await _fill(stack, given.rows, console)
        examples = {name: await _examples(stack, name) for name in CALLERS}
        load_before = os.getloadavg()[0]
        lines = []
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("", total=len(pages) * len(CALLERS))
            async with _service(stack) as caller_of:
                for page, make in pages.items():
                    cells = []
                    for name, org_id in CALLERS.items():
                        progress.update(task, description=f"{page}, {name}")
                        found = await measure(
                            caller_of(org_id), make, examples[name], given.requests
                        )
                        cells += [str(found.rows), found.cells()]
                        progress.advance(task)
                    lines.append(f"| {page} | {' | '.join(cells)} |")
                    console.print(lines[-1], highlight=False, soft_wrap=True)
    print(f"{count:,} webhooks, {given.requests} requests of each; load average")
    print(f"{load_before:.1f} before and {os.getloadavg()[0]:.1f} after. p50 / p95 / p99 in ms.\n")
    print("| page |", " | ".join(f"rows | {name}" for name in CALLERS), "|")
    print("|---|" + "---|" * 2 * len(CALLERS))
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.console_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, help="of the log (10,000,000)")
    parser.add_argument("--requests", type=int, default=50, help="of each page and caller (50)")
    parser.add_argument("--data", type=Path, help="a folder that keeps the filled database")
    parser.add_argument("--only", default="", help="only pages whose name contains this text")
    parser.add_argument("--quick", action="store_true", help="with 100,000 webhooks")
    given = parser.parse_args()
    given.rows = given.rows or (_QUICK_ROWS if given.quick else _ROWS)
    try:
        asyncio.run(_run(given, Console(stderr=True)))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None


if __name__ == "__main__":
    main()
