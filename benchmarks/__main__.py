"""`make bench`: the accept rate and the finish rate, on a broker and a database of its own."""

import argparse
import asyncio
import time

from rich.console import Console

from benchmarks import report
from benchmarks.accept import AcceptOptions, accept_calmly, measure_accepting
from benchmarks.bench_stack import bench_stack
from benchmarks.finish import measure_finishing
from ringback.local.child import LocalStackError

_CALM_CONNECTIONS = 8
"""Connections at which a gateway is not busy, so that its rows carry their payloads."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of rounds (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="per round (default 5)")
    parser.add_argument("--connections", type=int, default=64, help="HTTP connections (default 64)")
    parser.add_argument("--prefetch", type=int, default=5, help="of the processor (default 5)")
    return parser.parse_args()


async def _run(options: argparse.Namespace, console: Console) -> None:
    begun = time.monotonic()

    def progress(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/]  {text}", highlight=False)

    progress("starting a broker and a database")
    async with bench_stack() as stack:
        accept = AcceptOptions(options.rounds, options.seconds, options.connections)
        accepted = await measure_accepting(stack, accept, progress)
        progress("finishing the webhooks of the last round, whose rows have no payloads")
        burst = accepted.ringback[-1].job_ids
        finished = [
            await measure_finishing(stack, "after a burst", burst, options.prefetch, progress)
        ]
        progress(f"accepting over {_CALM_CONNECTIONS} connections, then finishing these webhooks")
        calm = await accept_calmly(stack, AcceptOptions(1, options.seconds, _CALM_CONNECTIONS))
        finished.append(
            await measure_finishing(stack, "after calm", calm.job_ids, options.prefetch, progress)
        )
    console.print()
    report.show(accepted, finished, console)
    console.print(f"\nAll figures: {report.save(accepted, finished)}", highlight=False)


def main() -> None:
    console = Console()
    try:
        asyncio.run(_run(_options(), console))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None


if __name__ == "__main__":
    main()
