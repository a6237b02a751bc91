"""Attack a gateway in nine ways, and show what that costs it and its good clients.

    python -m benchmarks.hostile
    python -m benchmarks.hostile idle flood

Each scenario has its own gateway, on a temporary broker and database. The exit status is 1 if a
good client got any answer but 200.
"""

import argparse
import asyncio
from dataclasses import replace

from rich.console import Console

from benchmarks.bench_stack import bench_stack
from benchmarks.hostile.trial import SCENARIOS, Trial, run_trial, show
from ringback.local.child import LocalStackError


def _options() -> argparse.Namespace:
    names = [scenario.attack for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("attack", nargs="*", help=f"some of: {', '.join(names)}")
    parser.add_argument("--connections", type=int, help="attackers at once (default: by scenario)")
    parser.add_argument(
        "--seconds", type=float, help="length of each attack (default: by scenario)"
    )
    options = parser.parse_args()
    if unknown := set(options.attack) - set(names):
        parser.error(f"There is no attack {', '.join(sorted(unknown))}.")
    return options


async def _run(options: argparse.Namespace, console: Console) -> list[Trial]:
    changes = {
        name: value
        for name in ("connections", "seconds")
        if (value := getattr(options, name)) is not None
    }
    trials = []
    async with bench_stack() as stack:
        for scenario in SCENARIOS:
            if not options.attack or scenario.attack in options.attack:
                console.print(f"[dim]{scenario.attack}[/]", highlight=False)
                trials.append(await run_trial(stack, replace(scenario, **changes)))
    return trials


def main() -> None:
    console = Console()
    try:
        trials = asyncio.run(_run(_options(), console))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None
    show(trials, console)
    if not all(one.good.all_good for one in trials):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
