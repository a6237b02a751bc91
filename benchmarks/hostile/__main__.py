"""Attack a gateway in nine ways, and show what that costs it and its good clients.

    python -m benchmarks.hostile
    python -m benchmarks.hostile idle flood

Each scenario has a gateway of its own, on a broker and a database that are gone after it. The
status is 1 when a good client was answered anything but 200.
"""

import argparse
import asyncio
from dataclasses import replace

from rich.console import Console

from benchmarks.bench_stack import bench_stack
from benchmarks.hostile.scenario import SCENARIOS
from benchmarks.hostile.table import show
from benchmarks.hostile.trial import Tried, try_out
from ringback.local.child import LocalStackError


def _options() -> argparse.Namespace:
    names = [scenario.attack for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("attack", nargs="*", help=f"some of: {', '.join(names)}")
    parser.add_argument("--connections", type=int, help="instead of each scenario's own")
    parser.add_argument("--seconds", type=float, help="likewise")
    options = parser.parse_args()
    if unknown := set(options.attack) - set(names):
        parser.error(f"There is no attack {', '.join(sorted(unknown))}.")
    return options


async def _run(options: argparse.Namespace, console: Console) -> list[Tried]:
    changes = {
        name: value
        for name in ("connections", "seconds")
        if (value := getattr(options, name)) is not None
    }
    tried = []
    async with bench_stack() as stack:
        for scenario in SCENARIOS:
            if not options.attack or scenario.attack in options.attack:
                console.print(f"[dim]{scenario.attack}[/]", highlight=False)
                tried.append(await try_out(stack, replace(scenario, **changes)))
    return tried


def main() -> None:
    console = Console()
    try:
        tried = asyncio.run(_run(_options(), console))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None
    show(tried, console)
    if not all(one.good.all_good for one in tried):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
