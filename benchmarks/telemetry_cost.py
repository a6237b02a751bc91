"""What telemetry costs the gateway: traced as by default and exported by OTLP, or not at all.

It starts a broker, a database and a collector that discards its input, and alternates two gateways.
The load is the closed loop of `make bench`. The gateway's processor time is the steadier figure.
"""

import argparse
import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.accept import AcceptOptions, Round, load
from benchmarks.bench_stack import BenchStack, bench_stack
from benchmarks.process_usage import cpu_s
from benchmarks.report import machine
from ringback.contract.topology import WORK_QUEUE
from ringback.local.child import LocalStackError
from ringback.local.ports import free_ports

_MAX_LOST = 0.2
_WARM_UP_S = 1.0
_ON = {"OTEL_TRACES_EXPORTER": "otlp"}
_OFF = {"OTEL_TRACES_EXPORTER": "none"}


@dataclass(frozen=True, slots=True)
class Cost:
    """One round, and the gateway's processor time per request."""

    round: Round
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Pair:
    off: Cost
    on: Cost

    @property
    def rate(self) -> float:
        return self.on.round.per_second / self.off.round.per_second

    @property
    def cpu(self) -> float:
        return self.on.cpu_us / self.off.cpu_us


async def measure(
    stack: BenchStack, options: AcceptOptions, say: Callable[[str], None]
) -> list[Pair]:
    """Load a gateway without telemetry and one with all of it, in turn."""
    (port,) = free_ports(1)
    sink = stack.process("benchmarks.trace_sink", str(port))
    on = {**_ON, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    pairs = []
    async with sink:
        for number in range(1, options.rounds + 1):
            # Slow growth in a broker or a database must not always affect the same side.
            first, second = (_OFF, on) if number % 2 else (on, _OFF)
            costs = [await _cost(stack, options, env) for env in (first, second)]
            pairs.append(Pair(*(costs if first is _OFF else reversed(costs))))
            say(
                f"pair {number}: {pairs[-1].off.round.per_second:,.0f}/s off, "
                f"{pairs[-1].on.round.per_second:,.0f}/s on; "
                f"{pairs[-1].off.cpu_us:.0f} us and {pairs[-1].on.cpu_us:.0f} us"
            )
    return pairs


async def _cost(stack: BenchStack, options: AcceptOptions, env: dict[str, str]) -> Cost:
    env = {**env, "RINGBACK_ALLOW_UNAUTHENTICATED": "true"}
    async with stack.gateway(**env) as (process, url):
        await load(stack, url, WORK_QUEUE, AcceptOptions(1, _WARM_UP_S, options.connections))
        before_s = cpu_s(process.pid)
        found = await load(stack, url, WORK_QUEUE, options)
        spent_s = cpu_s(process.pid) - before_s
    await stack.purge(WORK_QUEUE)
    return Cost(found, spent_s * 1e6 / max(found.accepted, 1))


def show(pairs: list[Pair], console: Console) -> None:
    table = Table(title=f"Telemetry of the gateway ({machine()}); medians of {len(pairs)} pairs")
    for heading in ("", "accepted/s", "p50 ms", "p99 ms", "CPU us/request", "refused"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, costs in (("off", [pair.off for pair in pairs]), ("on", [pair.on for pair in pairs])):
        table.add_row(
            name,
            f"{statistics.median(one.round.per_second for one in costs):,.0f}",
            f"{statistics.median(one.round.p50_ms for one in costs):.1f}",
            f"{statistics.median(one.round.p99_ms for one in costs):.1f}",
            f"{statistics.median(one.cpu_us for one in costs):.0f}",
            str(sum(one.round.refused for one in costs)),
        )
    console.print(table)
    rate = statistics.median(pair.rate for pair in pairs)
    cpu = statistics.median(pair.cpu for pair in pairs)
    verdict = "enough" if rate > 1 - _MAX_LOST else "too little"
    console.print(
        f"With telemetry, the gateway keeps [bold]{rate:.0%}[/] of its rate (median of the pairs; "
        f"{verdict}: the limit is {1 - _MAX_LOST:.0%}) and takes {cpu:.0%} of the processor time.",
        highlight=False,
    )


async def _run(options: AcceptOptions, console: Console) -> None:
    async with bench_stack() as stack:
        pairs = await measure(stack, options, lambda words: console.print(words, highlight=False))
    show(pairs, console)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.telemetry_cost", description=__doc__
    )
    parser.add_argument("--pairs", type=int, default=5, help="of rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="per round (default 5)")
    parser.add_argument("--connections", type=int, default=64, help="HTTP connections (default 64)")
    options = parser.parse_args()
    try:
        asyncio.run(
            _run(AcceptOptions(options.pairs, options.seconds, options.connections), Console())
        )
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None


if __name__ == "__main__":
    main()
