"""How fast the metrics API reads a log of ten million webhooks, at 50 calls a second each.

A broker, a database and the metrics service of its own are started, with the role and the settings
that it has in production.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import asyncpg
import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.conditions import machine
from benchmarks.fill_log import BIG_ORG, fill_visibly
from benchmarks.record import RESULTS
from ringback.local.child import LocalStackError
from ringback.metrics.v1 import metrics_service_pb2 as pb
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub

_CALLS_PER_S = 50
_FAR_PAGE = 500
_WARM_UPS = 3
_WARM_UP_CALLS = 20
_TIMEOUT_S = 10.0

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of call. Times start at the moment when the call was due."""

    call: str
    caller: str
    calls: int
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    limit_ms: float

    @property
    def is_within_limit(self) -> bool:
        return self.errors == 0 and self.p99_ms < self.limit_ms


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls with the token of one role."""

    name: str
    stub: MetricsServiceStub
    token: str

    async def call(self, method: str, request: Any) -> Any:
        unary = getattr(self.stub, method)
        metadata = (("authorization", f"Bearer {self.token}"),)
        return await unary(request, metadata=metadata, timeout=_TIMEOUT_S)


async def measure(
    call: str, caller: str, make_call: Call, *, seconds: float, limit_ms: float
) -> Measure:
    """Make calls at a steady rate, whether or not the earlier ones have been answered."""
    # Together, so that every connection of the service has made its plans.
    for _ in range(_WARM_UPS):
        await asyncio.gather(*(make_call() for _ in range(_WARM_UP_CALLS)))
    loop = asyncio.get_running_loop()
    times: list[float] = []
    errors = 0

    async def one(due: float) -> None:
        nonlocal errors
        await asyncio.sleep(due - loop.time())
        try:
            await make_call()
        except grpc.aio.AioRpcError:
            errors += 1
        times.append((loop.time() - due) * 1000)

    begin = loop.time() + 0.1
    async with asyncio.TaskGroup() as group:
        for n in range(int(seconds * _CALLS_PER_S)):
            group.create_task(one(begin + n / _CALLS_PER_S))
    times.sort()
    return Measure(
        call=call,
        caller=caller,
        calls=len(times),
        errors=errors,
        p50_ms=times[len(times) // 2],
        p99_ms=times[int(len(times) * 0.99)],
        max_ms=times[-1],
        limit_ms=limit_ms,
    )


async def _far_token(caller: Caller) -> str:
    """The token of the 500th page of dead letters."""
    token = ""
    for _ in range(_FAR_PAGE - 1):
        page = await caller.call("ListDeadLetters", pb.ListDeadLettersRequest(page_token=token))
        token = page.next_page_token
        if not token:
            raise SystemExit("The log is too small for a 500th page of dead letters.")
    return token


async def _measures(
    callers: list[Caller], seconds: float, *, far: bool
) -> AsyncGenerator[Measure, None]:
    for caller in callers:
        cases: list[tuple[str, str, Any, float]] = [
            ("24 h", "GetDeliveryStats", pb.GetDeliveryStatsRequest(range="24h"), 50),
            ("30 d", "GetDeliveryStats", pb.GetDeliveryStatsRequest(range="30d"), 50),
            ("", "ListRecentFailures", pb.ListRecentFailuresRequest(), 30),
            ("first page", "ListDeadLetters", pb.ListDeadLettersRequest(), 30),
        ]
        if far:
            request = pb.ListDeadLettersRequest(page_token=await _far_token(caller))
            cases.append(("500th page", "ListDeadLetters", request, 30))
        if caller.name == "service":
            cases.append(("", "GetQueueHealth", pb.GetQueueHealthRequest(), 10))
        for what, method, request, limit_ms in cases:

            def make_call(method: str = method, request: Any = request) -> Awaitable[object]:
                return caller.call(method, request)  # ruff: ignore[function-uses-loop-variable]  # called in this turn of the loop

            yield await measure(
                f"{method} {what}".strip(),
                caller.name,
                make_call,
                seconds=seconds,
                limit_ms=limit_ms,
            )


@asynccontextmanager
async def _callers(stack: BenchStack) -> AsyncGenerator[list[Caller], None]:
    """The metrics service, and two callers."""
    unlimited = [("grpc.max_receive_message_length", -1)]
    async with (
        stack.metrics() as service,
        grpc.aio.insecure_channel(service.grpc_address, options=unlimited) as channel,
    ):
        stub = MetricsServiceStub(channel)
        tenant = {"role": "tenant", "org_id": str(BIG_ORG)}
        yield [
            Caller("big tenant", stub, service.token(tenant)),
            Caller("service", stub, service.token({"role": "service"})),
        ]


async def _has_rows(database_url: str) -> bool:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetchval("SELECT EXISTS (SELECT FROM webhook_delivery_log)")
    await connection.close()
    return bool(rows)


async def _run(options: argparse.Namespace, console: Console) -> None:
    async with bench_stack(options.data) as stack:
        if not await _has_rows(stack.database_url):
            await fill_visibly(stack.database_url, options.rows, console)
        found = []
        async with _callers(stack) as callers:
            async for one in _measures(callers, options.seconds, far=not options.near):
                console.print(f"{one.call}, {one.caller}: p99 {one.p99_ms:.1f} ms", highlight=False)
                found.append(one)
    _show(found, f"{options.rows:,} webhooks; {machine()}", console)
    moment = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"api-{moment:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": moment.isoformat(),
        "machine": machine(),
        "rows": options.rows,
        "calls_per_s": _CALLS_PER_S,
        "measures": [asdict(one) for one in found],
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    console.print(f"All figures: {path}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api_speed", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the log (10,000,000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="per kind of call (20)")
    parser.add_argument("--data", type=Path, help="a folder that keeps the filled database")
    parser.add_argument("--near", action="store_true", help="without the 500th page")
    try:
        asyncio.run(_run(parser.parse_args(), Console()))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None


def _show(measures: list[Measure], title: str, console: Console) -> None:
    table = Table(title=title)
    for heading in ("call", "caller", "errors", "p50 ms", "p99 ms", "max ms", "below"):
        justify: Literal["left", "right"] = "left" if heading in {"call", "caller"} else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for one in measures:
        table.add_row(
            one.call,
            one.caller,
            str(one.errors),
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.max_ms:.1f}",
            f"{one.limit_ms:.0f}" if one.is_within_limit else f"[red]{one.limit_ms:.0f} missed[/]",
        )
    console.print(table, width=max(console.width, 100), soft_wrap=True)


if __name__ == "__main__":
    main()
