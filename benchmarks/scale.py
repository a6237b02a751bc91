"""More gateways and processors at once, over one broker and one database, on this machine.

.venv/bin/python -m benchmarks.scale

Each size accepts webhooks for some seconds while it processes them, and then finishes the rest. It
prints how many a second were accepted and finished, and what was lost, doubled or counted wrong.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.bodies import USUAL_SIZE
from benchmarks.conditions import machine
from benchmarks.figures import compare
from benchmarks.load import posted
from chaos.rollups import wrong_counts
from chaos.supervised import Replica, replicas
from ringback.local.child import LocalStackError
from ringback.local.ports import ServicePorts
from ringback.local.stack_service import StackContext, urls_by_role
from ringback.metrics import MetricsClient
from ringback.samples import sample

_JWT_SECRET = "a secret of a benchmark and of nobody else"  # ruff: ignore[hardcoded-password-string]  # of services on loopback
_SIZES = ((1, 1), (1, 2), (2, 2), (2, 4))
_METRICS_SERVICES = 2
_POLL_S = 0.5
_RIGHT_WITHIN_S = 30.0
_FINISHED_WITHIN_S = 300.0
_FINISHED = """
    SELECT log.call_id, count(*)::int AS attempts, min(made.started_at) AS started_at,
           max(made.ended_at) AS ended_at
    FROM webhook_delivery_log AS log
    JOIN webhook_delivery_attempts AS made ON made.delivery_id = log.id
    WHERE log.status = 'completed' AND log.call_id = ANY($1::text[])
    GROUP BY log.call_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    gateways: int
    processors: int
    accepted: int
    accepted_per_s: float
    finished: int
    finished_per_s: float
    lost: int
    doubled: int
    wrong_counts: tuple[str, ...]


async def measure(
    stack: BenchStack,
    gateways: int,
    processors: int,
    options: argparse.Namespace,
    accepted_before: int,
) -> Size:
    """Run one size. `accepted_before` webhooks of earlier sizes are in the same log."""
    around = surroundings(stack)
    async with AsyncExitStack() as running:
        enter = running.enter_async_context
        metrics = await enter(replicas("metrics", _METRICS_SERVICES, around))
        await enter(replicas("processor", processors, around, RINGBACK_VOICE_CALLS="false"))
        taking = await enter(replicas("gateway", gateways, around))
        connection = await asyncpg.connect(stack.database_url)
        running.push_async_callback(connection.close)
        ids, per_s = await loaded(stack, taking, options)
        finished = await until_finished(connection, ids)
        ledger = compare(ids, {row["call_id"]: row["attempts"] for row in finished})
        wrong = await _counts_after_settling(connection, metrics, accepted_before + len(ids))
    return Size(
        gateways=gateways,
        processors=processors,
        accepted=len(ids),
        accepted_per_s=per_s,
        finished=len(finished),
        finished_per_s=_per_s(finished),
        lost=ledger.lost,
        doubled=ledger.doubled,
        wrong_counts=wrong,
    )


async def loaded(
    stack: BenchStack, gateways: Sequence[Replica], options: argparse.Namespace
) -> tuple[list[str], float]:
    """Post to all gateways at once; give the ids of the accepted calls, and the rate."""
    words = (
        f"--count={options.count // len(gateways)}",
        f"--connections={max(1, options.connections // len(gateways))}",
    )
    began = time.monotonic()
    accepted = await asyncio.gather(
        *(posted(stack.folder, gateway.url, USUAL_SIZE, *words) for gateway in gateways)
    )
    ids = [call_id for each in accepted for call_id in each]
    return ids, len(ids) / (time.monotonic() - began)


async def until_finished(connection: asyncpg.Connection, ids: list[str]) -> list[asyncpg.Record]:
    """Wait until these calls are finished, or for too long; give those that are."""
    deadline = time.monotonic() + _FINISHED_WITHIN_S
    while True:
        rows = await connection.fetch(_FINISHED, ids)
        if len(rows) >= len(ids) or time.monotonic() > deadline:
            return list(rows)
        await asyncio.sleep(_POLL_S)


def _per_s(finished: Sequence[asyncpg.Record]) -> float:
    if not finished:
        return 0.0
    took = max(row["ended_at"] for row in finished) - min(row["started_at"] for row in finished)
    return len(finished) / max(float(took.total_seconds()), 0.001)


async def _counts_after_settling(
    connection: asyncpg.Connection, metrics: Sequence[Replica], accepted: int
) -> tuple[str, ...]:
    """The counts beside the log follow it within a second or two."""
    deadline = time.monotonic() + _RIGHT_WITHIN_S
    async with AsyncExitStack() as clients:
        asked = [
            await clients.enter_async_context(MetricsClient(one.grpc_address, token=_token()))
            for one in metrics
        ]
        while found := await wrong_counts(connection, asked, accepted):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_POLL_S)
    return tuple(found)


def _token() -> str:
    # Imported here: it is slow to import, and the load needs the processor.
    import jwt  # ruff: ignore[import-outside-top-level]

    claims = {"role": "service", "sub": "benchmark", "aud": "ringback", "exp": time.time() + 600}
    return jwt.encode(claims, _JWT_SECRET, algorithm="HS256")


def body_bytes() -> int:
    """The size of the posted bodies."""
    return len(sample("end-of-call-report"))


def surroundings(stack: BenchStack) -> StackContext:
    """The variables that replicas need to reach the nodes."""
    return StackContext(
        environ=os.environ | {"RINGBACK_HANDLERS": "", "RINGBACK_TRACE_FILE": ""},
        amqp_url=stack.amqp_url,
        database_urls=urls_by_role(stack.database_url),
        ports=ServicePorts(),
        jwt_secret=_JWT_SECRET,
        state_dir=stack.folder,
        management_url=None,
    )


def _show(sizes: Sequence[Size], console: Console) -> None:
    table = Table(
        title=f"One broker, one database, {_METRICS_SERVICES} metrics services ({machine()})"
    )
    for heading in (
        "gateways",
        "processors",
        "accepted",
        "accepted/s",
        "finished/s",
        "lost",
        "doubled",
        "counted wrong",
    ):
        table.add_column(heading, justify="right")
    for one in sizes:
        table.add_row(
            *[str(one.gateways), str(one.processors), f"{one.accepted:,}"],
            *[f"{one.accepted_per_s:,.0f}", f"{one.finished_per_s:,.0f}"],
            *[str(one.lost), str(one.doubled), str(len(one.wrong_counts))],
        )
    console.print(table)
    for one in sizes:
        for sentence in one.wrong_counts:
            console.print(f"{one.gateways} and {one.processors}: {sentence}")


async def _run(options: argparse.Namespace, console: Console) -> bool:
    sizes: list[Size] = []
    async with bench_stack() as stack:
        for gateways, processors in _SIZES:
            console.print(f"[dim]{gateways} gateways, {processors} processors[/]", highlight=False)
            before = sum(one.accepted for one in sizes)
            sizes.append(await measure(stack, gateways, processors, options, before))
    _show(sizes, console)
    return not any(one.lost or one.doubled or one.wrong_counts for one in sizes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--count", type=int, default=5_000, help="webhooks per size (default 5000)")
    parser.add_argument("--connections", type=int, default=32, help="HTTP connections (default 32)")
    try:
        is_right = asyncio.run(_run(parser.parse_args(), Console()))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None
    raise SystemExit(0 if is_right else 1)


if __name__ == "__main__":
    main()
