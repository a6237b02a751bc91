"""What one webhook costs each part: processor time, bytes of log, of WAL, and of the broker's disk.

.venv/bin/python -m benchmarks.demands

One of each service accepts and finishes webhooks one after the other. The cost of a webhook is what
a part used, minus what it uses when idle, divided by the number of webhooks. The figures go to
benchmarks/demands.json, which benchmarks/scale_model.py reads.
"""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from rich.console import Console

from benchmarks import scale
from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.conditions import machine
from benchmarks.process_usage import cpu_by_part_s
from chaos.supervised import replicas

FILE = Path(__file__).with_name("demands.json")
_IDLE_S = 10.0
_SIZES = """
    SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS wal,
           pg_database_size(current_database()) AS stored
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Of one webhook with a body of `body_bytes`, without user handlers, on `machine`."""

    machine: str
    measured_on: str
    webhooks: int
    per_s: float
    body_bytes: int
    gateway_ms: float
    processor_ms: float
    broker_ms: float
    database_ms: float
    wal_bytes: float
    stored_bytes: float


def read() -> Demands:
    """Read the demands that were measured last."""
    return Demands(**json.loads(FILE.read_text(encoding="utf-8")))


async def measure(stack: BenchStack, options: argparse.Namespace) -> Demands:
    around = scale.surroundings(stack)
    async with AsyncExitStack() as running:
        for name in ("metrics", "processor"):
            await running.enter_async_context(replicas(name, 1, around))
        gateways = await running.enter_async_context(replicas("gateway", 1, around))
        connection = await asyncpg.connect(stack.database_url)
        running.push_async_callback(connection.close)
        idle_per_s = await _idle_per_s()
        before, [sizes_before] = cpu_by_part_s(), await connection.fetch(_SIZES)
        began = asyncio.get_running_loop().time()
        ids, per_s = await scale.loaded(stack, gateways, options)
        await scale.until_finished(connection, ids)
        took_s = asyncio.get_running_loop().time() - began
        after, [sizes] = cpu_by_part_s(), await connection.fetch(_SIZES)
    count = len(ids)
    ms = {
        name: (after[name] - before[name] - idle_per_s[name] * took_s) / count * 1000
        for name in ("gateway", "processor", "broker", "database")
    }
    return Demands(
        machine=machine(),
        measured_on=f"{datetime.now(UTC):%Y-%m-%d}",
        webhooks=count,
        per_s=round(per_s, 1),
        body_bytes=scale.body_bytes(),
        gateway_ms=round(ms["gateway"], 3),
        processor_ms=round(ms["processor"], 3),
        broker_ms=round(ms["broker"], 3),
        database_ms=round(ms["database"], 3),
        wal_bytes=round((sizes["wal"] - sizes_before["wal"]) / count),
        stored_bytes=round((sizes["stored"] - sizes_before["stored"]) / count),
    )


async def _idle_per_s() -> dict[str, float]:
    before = cpu_by_part_s()
    await asyncio.sleep(_IDLE_S)
    after = cpu_by_part_s()
    return {name: (after[name] - before[name]) / _IDLE_S for name in after}


async def _run(options: argparse.Namespace) -> Demands:
    async with bench_stack() as stack:
        return await measure(stack, options)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demands", description=__doc__)
    parser.add_argument("--count", type=int, default=5_000, help="webhooks (default 5000)")
    parser.add_argument("--connections", type=int, default=1, help="HTTP connections (default 1)")
    demands = asyncio.run(_run(parser.parse_args()))
    FILE.write_text(json.dumps(asdict(demands), indent=2) + "\n", encoding="utf-8")
    Console().print(asdict(demands))


if __name__ == "__main__":
    main()
