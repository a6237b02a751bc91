"""One measurement of one system: accepting, draining a backlog, or a constant rate end to end."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import wrk
from benchmarks.bodies import USUAL_SIZE
from benchmarks.figures import Ledger, compare, compare_counts, latencies_ms, percentile
from benchmarks.process_usage import cpu_by_part_s
from benchmarks.systems import System
from benchmarks.wrk import CellError

_MAX_CELL_S = 600.0
_SETTLE_S = 0.5
_POLL_S = 0.2
_IDLE_S = 2.0
_WARM_UP_S = 1.0
_FILLING_CONNECTIONS = 16
UNITS = {"accept": "connections", "drain": "handlers", "rate": "webhooks/s"}
"""What `Cell.value` counts, for each part of the benchmark."""

Measured = tuple[dict[str, float], Ledger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is measured; `value` is connections, handlers or webhooks a second."""

    part: str
    system: str
    value: int
    size: str = USUAL_SIZE
    seconds: float = 3.0
    count: int = 0

    @property
    def text(self) -> str:
        return f"{self.part}: {self.system}, {self.value} {UNITS[self.part]}, {self.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A cell of one round: its figures by name, or the reason why there are none."""

    cell: Cell
    figures: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    failure: str = ""


async def measure(system: System, cell: Cell) -> Result:
    """Measure it. If something fails, that is the result, and the run goes on."""
    runs: dict[str, Callable[[System, Cell], Awaitable[Measured]]] = {
        "accept": _accept,
        "drain": _drain,
        "rate": _rate,
    }
    try:
        async with asyncio.timeout(_MAX_CELL_S):
            await system.clear()
            figures, ledger = await runs[cell.part](system, cell)
    except Exception as exc:  # ruff: ignore[blind-except]  # whatever fails is one row of the table
        return Result(cell=cell, failure=str(exc) or type(exc).__name__)
    return Result(cell=cell, figures=figures, **asdict(ledger))


async def _accept(system: System, cell: Cell) -> Measured:
    async with system.accepting() as url:
        folder = system.stack.folder
        await wrk.load(folder, url, cell.size, cell.value, _WARM_UP_S)
        before = await _settled(system)
        cpu = cpu_by_part_s(system.parts)
        answers = await wrk.load(folder, url, cell.size, cell.value, cell.seconds)
        costs = _costs(cpu, cpu_by_part_s(system.parts), answers.accepted)
        after = await _settled(system)
    figures = {
        "per_s": answers.per_s,
        "p50_ms": answers.p50_ms,
        "p95_ms": answers.p95_ms,
        "p99_ms": answers.p99_ms,
        "refused": float(answers.refused + answers.broken),
    }
    if before is None or after is None:
        return figures | costs, Ledger(0, 0)
    return figures | costs, compare_counts(answers.accepted, after - before, cell.value)


async def _settled(system: System) -> int | None:
    """Count what is stored, when that no longer changes."""
    before: int | None = -1
    count = await system.store.count()
    while count != before:
        await asyncio.sleep(_SETTLE_S)
        before, count = count, await system.store.count()
    return count


async def _drain(system: System, cell: Cell) -> Measured:
    async with system.accepting() as url:
        options = (f"--count={cell.count}", f"--connections={_FILLING_CONNECTIONS}")
        due = await _posted(system, url, cell, *options)
    await _settled(system)
    async with system.working(cell.value):
        # The start of a worker costs processor time, which is not the cost of a webhook.
        first = await _until_finished(system, 1, 60)
        cpu = cpu_by_part_s(system.parts)
        last = await _until_finished(system, len(due), 60 + cell.count / 50)
        costs = _costs(cpu, cpu_by_part_s(system.parts), last - first)
    found = await system.finished()
    seconds = max(found.at.values(), default=0.0) - min(found.at.values(), default=0.0)
    per_s = (len(found.at) - 1) / seconds if seconds > 0 else 0.0
    return {"per_s": per_s} | costs, compare(due, found.attempts)


async def _rate(system: System, cell: Cell) -> Measured:
    async with AsyncExitStack() as running:
        url = await running.enter_async_context(system.accepting())
        await running.enter_async_context(system.working(5))
        await wrk.load(system.stack.folder, url, cell.size, 2, _WARM_UP_S)
        await _idle(system)
        cpu, before = cpu_by_part_s(system.parts), await system.count_finished()
        options = (f"--per-s={cell.value}", f"--seconds={cell.seconds}")
        due = await _posted(system, url, cell, *options)
        await _until_finished(system, before + len(due), cell.seconds + 30)
        costs = _costs(cpu, cpu_by_part_s(system.parts), len(due))
        await _idle(system)
    found = await system.finished()
    latencies = latencies_ms(due, found.at)
    figures = {f"p{percent}_ms": percentile(latencies, percent) for percent in (50, 95, 99)}
    return figures | costs, compare(due, found.attempts)


async def _idle(system: System) -> None:
    """Wait until no more webhooks are finished."""
    before, count = -1, await system.count_finished()
    while count != before:
        await asyncio.sleep(_IDLE_S)
        before, count = count, await system.count_finished()


async def _posted(system: System, url: str, cell: Cell, *options: str) -> dict[str, float]:
    """Post by the client, and give the due times of the webhooks that were accepted."""
    file = system.stack.folder / f"sent-{cell.system}.txt"
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.load", url, str(file), f"--size={cell.size}", *options),
        cwd=Path(__file__).parents[1],
    )
    try:
        if await client.wait():
            raise CellError("The load client failed; its error is above.")
    finally:
        if client.returncode is None:
            client.kill()
    lines = (await asyncio.to_thread(file.read_text, encoding="utf-8")).splitlines()
    rows = [line.split() for line in lines]
    accepted = {call_id: float(due) for call_id, due, _, status in rows if status == "200"}
    if not accepted:
        raise CellError("No webhook was accepted.")
    return accepted


async def _until_finished(system: System, count: int, within_s: float) -> int:
    """Wait until so many are finished, or for so long; give how many are."""
    deadline = time.monotonic() + within_s
    while True:
        found = await system.count_finished()
        if found >= count or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL_S)


def _costs(before: dict[str, float], after: dict[str, float], webhooks: int) -> dict[str, float]:
    """The processor time of each part and of all for one webhook, in milliseconds."""
    ms = {name: (after[name] - before[name]) / max(webhooks, 1) * 1e3 for name in after}
    return {"cpu_ms": sum(ms.values())} | {f"cpu_{name}_ms": cost for name, cost in ms.items()}
