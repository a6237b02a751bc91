import asyncio
import secrets
import signal
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console

from chaos.episode import Outcome, play
from chaos.fault import Fault
from chaos.mix import mixed
from chaos.registry import ALL, UnknownFaultError, named
from chaos.stage import running_stage
from chaos.table import as_text, broken_text, headings_text, markdown
from ringback.cli.terminal import EXIT_FAILED, BadInputError, out

_SETTLED_S = 5.0
"""A quorum queue that is killed right after its creation may stay without a leader."""

_MIX = "mix"

_Seconds = Annotated[float, Parameter(validator=Number(gte=0, lte=86400))]

run = App(name="run", help_epilogue="")


@run.default
def _run(
    *,
    only: tuple[str, ...] = (),
    seed: int | None = None,
    seconds: _Seconds = 60.0,
    rate: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 40.0,
    results: Path = Path("chaos/results.md"),
) -> int:
    """Start all of Ringback here, cause one fault after the other, then a mix, and judge each.

    The exit status is 0 if no promise was broken: nothing lost, nothing finished twice, nothing
    refused while the spool works. It uses a temporary folder and free ports, and touches nothing
    else.

    Parameters
    ----------
    only
        The name of a fault from `list`, or `mix` for several at once at random. Repeat it for more.
    seed
        Seed of the mix: the same seed gives the same faults at the same times.
    seconds
        How long the mix causes faults; 0 for no mix.
    rate
        Webhooks a second.
    results
        The Markdown file to which the table is written.
    """
    try:
        faults = named([name for name in only if name != _MIX]) if set(only) != {_MIX} else ()
    except UnknownFaultError as exc:
        raise BadInputError(str(exc)) from exc
    has_mix = seconds > 0 and (not only or _MIX in only)
    chosen = secrets.randbelow(10_000) if seed is None else seed
    mix = mixed(ALL, seed=chosen, seconds=seconds) if has_mix else None
    return uvloop.run(_until_terminated(_play_all(faults, mix, rate=rate, results=results)))


async def _until_terminated(work: Coroutine[None, None, int]) -> int:
    """Also stop everything that was started if this process is terminated."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


async def _play_all(
    faults: Sequence[Fault], mix: Fault | None, *, rate: float, results: Path
) -> int:
    console, began = out(), time.monotonic()
    outcomes: list[Outcome] = []
    console.print(f"Starting RabbitMQ, PostgreSQL and the services, for {len(faults)} faults.")
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-") as folder:
        async with running_stage(Path(folder)) as stage:
            await stage.settled(_SETTLED_S)
            console.print(headings_text(), soft_wrap=True)
            planned = (*faults, *([mix] if mix else []))
            for number, fault in enumerate(planned, 1):
                with _progress(console, f"{number} of {len(planned)}", fault):
                    outcome = await play(stage, fault, per_s=rate)
                outcomes.append(outcome)
                _print_result(console, outcome)
                _write(results, outcomes)
    console.print(f"Finished in {time.monotonic() - began:.0f} s. The table is in {results}.")
    return EXIT_FAILED if any(outcome.broken for outcome in outcomes) else 0


def _progress(console: Console, place: str, fault: Fault) -> AbstractContextManager[object]:
    """Show the current fault, if a person is watching; otherwise only rows."""
    if not console.is_terminal:
        return nullcontext()
    return console.status(f"{place}  [bold]{fault.name}[/]  {fault.sentence}")


def _write(results: Path, outcomes: Sequence[Outcome]) -> None:
    """Write after each fault, so that an interrupted run leaves its results."""
    results.write_text(markdown(outcomes), encoding="utf-8")


def _print_result(console: Console, outcome: Outcome) -> None:
    console.print(as_text(outcome), soft_wrap=True)
    if outcome.fault.name == _MIX:
        console.print(f"  {outcome.fault.sentence}")
    for sentence in outcome.broken:
        console.print("  ", broken_text(sentence), sep="", soft_wrap=True)
