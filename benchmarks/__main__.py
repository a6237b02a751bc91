"""`make bench`: measure Ringback and other systems in turn, on one broker and one database.

python -m benchmarks                          all parts, in about an hour
python -m benchmarks --quick                  the most important cells, in five minutes
python -m benchmarks accept --connections 8,64 --systems ringback,plain
python -m benchmarks drain --handlers 5 --count 5000
python -m benchmarks rate --rates 200,400 --seconds 20
python -m benchmarks fairness --rounds 3      one org floods, and its handler hangs
python -m benchmarks publish FILE             write the figures of a run into docs/benchmarks.md
"""

import argparse
import asyncio
import os
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks import page, plan, plots
from benchmarks.bench_stack import bench_stack
from benchmarks.bodies import SIZES
from benchmarks.cells import UNITS, Cell, Result, measure
from benchmarks.conditions import conditions
from benchmarks.record import Record
from benchmarks.registry import NAMES, started
from ringback.local.child import LocalStackError


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(NAMES):
        known = ", ".join(NAMES)
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; known: {known}")
    return names


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "part", nargs="?", choices=("all", *UNITS, "publish"), default="all", help="what to measure"
    )
    parser.add_argument("file", nargs="?", type=Path, help="the results of a run, for publish")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure each cell")
    parser.add_argument("--systems", type=_names, default=plan.MAIN, help=",".join(NAMES))
    parser.add_argument("--connections", type=_numbers, default=[8, 16, 64])
    parser.add_argument("--sizes", default="16.7kB", help=",".join(SIZES))
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each cell")
    parser.add_argument("--handlers", type=_numbers, default=[5, 50])
    parser.add_argument("--count", type=int, default=5_000, help="webhooks in the backlog")
    parser.add_argument(
        "--rows", type=_numbers, default=[10_000], help="webhooks in the log or queue"
    )
    parser.add_argument("--rates", type=_numbers, default=[50, 200])
    return parser.parse_args()


def _cells(given: argparse.Namespace) -> list[Cell]:
    systems, seconds = given.systems, given.seconds
    parts: dict[str, list[Cell]] = {
        "accept": plan.accept(systems, given.connections, given.sizes.split(","), seconds),
        "drain": plan.drain(systems, given.handlers, given.count),
        "rate": plan.rate(systems, given.rates, seconds),
        "held": plan.held(systems, seconds),
        "failing": plan.failing(systems, given.count),
        "memory": plan.memory(systems, seconds),
        "growth": plan.growth("growth", given.rows),
        "backlog": plan.growth("backlog", given.rows, systems),
        "fairness": plan.fairness(seconds),
        "all": plan.quick() if given.quick else plan.full(),
    }
    return parts[str(given.part)] * int(given.rounds)


async def _run(cells: list[Cell], console: Console, record: Record) -> None:
    """Measure all cells, and save each result at once."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn(elapsed_when_finished=True)),
    )
    names = list(dict.fromkeys(cell.system for cell in cells))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Starting RabbitMQ and PostgreSQL", total=len(cells))
        async with bench_stack() as stack, started(names, stack) as systems:
            record.conditions |= await conditions(stack)
            for cell in cells:
                progress.update(task, description=cell.text)
                system = systems[cell.system]
                result = (
                    Result(cell=cell, failure=system)
                    if isinstance(system, str)
                    else await measure(system, cell)
                )
                record.add(result)
                if result.failure or result.lost:
                    record.keep_logs(stack.folder, cell.system)
                progress.console.print(page.sentence(result), highlight=False, soft_wrap=True)
                progress.advance(task)
            record.conditions["load average at the end"] = "{:.2f} {:.2f} {:.2f}".format(
                *os.getloadavg()
            )


def main() -> None:
    given, console = _options(), Console()
    if given.part == "publish":
        page.publish(Record.read(given.file))
        return
    record = Record()
    try:
        asyncio.run(_run(_cells(given), console, record))
    except LocalStackError as exc:
        raise SystemExit(str(exc)) from None
    except KeyboardInterrupt:
        console.print("Stopped. These are the results so far:")
    if not record.results:
        return
    console.print(Markdown(page.comparisons(record)))
    tables = record.file.with_suffix(".md")
    tables.write_text(page.tables(record), encoding="utf-8")
    plots.draw(record, record.file.with_suffix(""))
    folder = record.file.with_suffix("")
    console.print(f"All results: {tables} and {record.file}", soft_wrap=True)
    console.print(f"Plots and logs of failures: {folder}/", soft_wrap=True)


if __name__ == "__main__":
    main()
