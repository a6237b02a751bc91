"""One measurement of one system, in numbers by name."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace

from benchmarks import costs, fairness, load, wrk
from benchmarks.bodies import USUAL_SIZE
from benchmarks.conditions import fsync_ms
from benchmarks.figures import (
    Ledger,
    compare,
    compare_counts,
    highest_held,
    latencies_ms,
)
from benchmarks.load import FAILING
from benchmarks.systems import Ringback, System
from benchmarks.wrk import CellError
from ringback.cli.load.load_generator import percentile

_MAX_CELL_S = 900.0
_FILLED_PER_S = 2_000
_SETTLE_S = 0.5
_POLL_S = 0.2
_IDLE_S = 2.0
_WARM_UP_S = 1.0
_FILLING_CONNECTIONS = 16
_FAILING_EVERY = 10
_PROBE_S = 10.0
_MAX_P95_MS = 100.0
_HANDLERS = 5
_BUSY_CONNECTIONS = 64
UNITS = {
    "accept": "connections",
    "drain": "handlers",
    "rate": "webhooks/s",
    "held": "handlers",
    "failing": "backlog",
    "memory": "connections",
    "growth": "rows in the log",
    "backlog": "in the queue",
    "fairness": "times the rate of the others",
}
"""What `Cell.value` counts, for each part of the benchmark."""

Measured = tuple[dict[str, float], Ledger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is measured; UNITS has the meaning of `value`."""

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
    """The figures of a cell in one round, by name, or the reason why it failed."""

    cell: Cell
    figures: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    failure: str = ""


async def measure(system: System, cell: Cell) -> Result:
    """Measure one cell. An error becomes its result, and the run continues."""
    runs: dict[str, Callable[[System, Cell], Awaitable[Measured]]] = {
        "accept": _accept,
        "drain": _drain,
        "rate": _rate,
        "held": _held,
        "failing": _failing,
        "memory": _memory,
        "growth": _growth,
        "backlog": _with_backlog,
        "fairness": _fairness,
    }
    try:
        async with asyncio.timeout(_MAX_CELL_S + cell.value / _FILLED_PER_S):
            await system.clear()
            around = {
                "fsync_ms": await asyncio.to_thread(fsync_ms, system.stack.folder),
                "load": os.getloadavg()[0],
            }
            figures, ledger = await runs[cell.part](system, cell)
    except Exception as exc:  # ruff: ignore[blind-except]  # whatever fails is one row of the table
        return Result(cell=cell, failure=str(exc) or type(exc).__name__)
    return Result(cell=cell, figures=figures | around, **asdict(ledger))


async def _accept(system: System, cell: Cell) -> Measured:
    async with system.accepting() as url:
        folder = system.stack.folder
        await wrk.load(folder, url, cell.size, cell.value, _WARM_UP_S)
        before = await _settled(system)
        cpu = costs.cpu(system)
        answers = await wrk.load(folder, url, cell.size, cell.value, cell.seconds)
        figures = costs.per_webhook(cpu, costs.cpu(system), answers.accepted)
        after = await _settled(system)
    figures |= {
        "per_s": answers.per_s,
        "p50_ms": answers.p50_ms,
        "p95_ms": answers.p95_ms,
        "p99_ms": answers.p99_ms,
        "refused": float(answers.refused + answers.broken),
    }
    if before is None or after is None:
        return figures, Ledger(0, 0)
    return figures, compare_counts(answers.accepted, after - before, cell.value)


async def _settled(system: System) -> int | None:
    """The number of stored webhooks, once it no longer changes."""
    before: int | None = -1
    count = await system.store.count()
    while count != before:
        await asyncio.sleep(_SETTLE_S)
        before, count = count, await system.store.count()
    return count


async def _drain(system: System, cell: Cell) -> Measured:
    due = await _backlog(system, cell)
    database = await costs.database(system)
    async with system.working(cell.value):
        # The start of a worker costs processor time, which is not the cost of a webhook.
        first = await _until_finished(system, 1, 60)
        cpu = costs.cpu(system)
        last = await _until_finished(system, len(due), 60 + cell.count / 50)
        figures = costs.per_webhook(cpu, costs.cpu(system), last - first)
    figures |= costs.per_webhook(database, await costs.database(system), last)
    found = await system.finished()
    seconds = max(found.at.values(), default=0.0) - min(found.at.values(), default=0.0)
    figures["per_s"] = (len(found.at) - 1) / seconds if seconds > 0 else 0.0
    return figures, compare(due, found.attempts)


async def _backlog(system: System, cell: Cell, *options: str) -> dict[str, float]:
    """Accept `cell.count` webhooks while no worker runs."""
    async with system.accepting() as url:
        words = (f"--count={cell.count}", f"--connections={_FILLING_CONNECTIONS}", *options)
        due = await load.posted(system.stack.folder, url, cell.size, *words)
        await _settled(system)
    return due


async def _rate(system: System, cell: Cell) -> Measured:
    async with AsyncExitStack() as running:
        url = await _both(system, running)
        database, cpu = await costs.database(system), costs.cpu(system)
        due = await _at_rate(system, url, cell)
        figures = costs.per_webhook(cpu, costs.cpu(system), len(due))
        await _idle(system)
    figures |= costs.per_webhook(database, await costs.database(system), len(due))
    found = await system.finished()
    times = latencies_ms(due, found.at)
    figures |= {f"p{percent}_ms": percentile(times, percent) or 0.0 for percent in (50, 95, 99)}
    return figures, compare(due, found.attempts)


async def _both(system: System, running: AsyncExitStack) -> str:
    """Run server and worker, both warm and idle; return the server's URL."""
    url = await running.enter_async_context(system.accepting())
    await running.enter_async_context(system.working(_HANDLERS))
    await wrk.load(system.stack.folder, url, USUAL_SIZE, 2, _WARM_UP_S)
    await _idle(system)
    return url


async def _at_rate(system: System, url: str, cell: Cell) -> dict[str, float]:
    before = await system.count_finished()
    options = (f"--per-s={cell.value}", f"--seconds={cell.seconds}")
    due = await load.posted(system.stack.folder, url, cell.size, *options)
    await _until_finished(system, before + len(due), cell.seconds + 30)
    return due


async def _held(system: System, cell: Cell) -> Measured:
    """Find the highest rate at which the p95 stays low for `cell.seconds`."""
    total = Ledger(0, 0)
    figures = {"p95_ms": 0.0}
    async with AsyncExitStack() as running:
        url = await _both(system, running)

        async def holds(rate: int, seconds: float) -> bool:
            nonlocal total
            due = await _at_rate(system, url, replace(cell, value=rate, seconds=seconds))
            await _idle(system)
            found = await system.finished()
            ledger = compare(due, found.attempts)
            total = Ledger(total.lost + ledger.lost, total.doubled + ledger.doubled)
            p95_ms = percentile(latencies_ms(due, found.at), 95) or 0.0
            good = not ledger.lost and p95_ms < _MAX_P95_MS and len(due) > 0.99 * rate * seconds
            if good and seconds == cell.seconds:
                figures["p95_ms"] = p95_ms
            return good

        figures["per_s"] = await highest_held(holds, min(_PROBE_S, cell.seconds), cell.seconds)
    return figures, total


async def _failing(system: System, cell: Cell) -> Measured:
    """Drain a backlog of which every tenth webhook fails twice, with retries after 2 and 4 s."""
    backlog = replace(cell, count=cell.value)
    due = await _backlog(system, backlog, f"--failing-every={_FAILING_EVERY}")
    async with system.working(_HANDLERS, failing=True):
        await _until_finished(system, len(due), 90 + cell.value / 50)
    late = await system.retries_late_ms()
    found = await system.finished()
    attempts = {
        name: count - 2 if name.startswith(FAILING) else count
        for name, count in found.attempts.items()
    }
    figures = {f"p{percent}_ms": percentile(late, percent) or 0.0 for percent in (50, 95, 99)}
    return figures | {"retries": float(len(late))}, compare(due, attempts)


async def _memory(system: System, cell: Cell) -> Measured:
    """Accept as fast as possible, finish all of it, and read the memory of all parts."""
    async with AsyncExitStack() as running:
        await running.enter_async_context(system.others())
        url = await _both(system, running)
        before = await system.count_finished()
        answers = await wrk.load(
            system.stack.folder, url, cell.size, cell.value, max(1.0, cell.seconds)
        )
        finished = await _until_finished(system, before + answers.accepted, cell.seconds * 20)
        await _idle(system)
        figures = costs.memory(system)
    return figures, Ledger(max(0, before + answers.accepted - finished), 0)


async def _growth(system: System, cell: Cell) -> Measured:
    """Accept and drain with `cell.value` webhooks in the log."""
    if not isinstance(system, Ringback):
        raise CellError("Only Ringback's log can be filled.")
    await system.fill(cell.value)
    accepted, first = await _accept(system, replace(cell, value=_BUSY_CONNECTIONS))
    await system.store.clear()
    drained, second = await _drain(system, replace(cell, value=_HANDLERS))
    figures = {"accepted_per_s": accepted["per_s"], "finished_per_s": drained["per_s"]}
    return figures, Ledger(first.lost + second.lost, first.doubled + second.doubled)


async def _with_backlog(system: System, cell: Cell) -> Measured:
    """Accept and process with `cell.value` webhooks in the queue."""
    await _backlog(system, replace(cell, count=cell.value))
    accepted, ledger = await _accept(system, replace(cell, value=_BUSY_CONNECTIONS))
    async with system.working(_HANDLERS):
        first = await _until_finished(system, 1, 60)
        began = time.monotonic()
        await asyncio.sleep(_PROBE_S)
        finished = await system.count_finished() - first
        per_s = finished / (time.monotonic() - began)
    return {"accepted_per_s": accepted["per_s"], "finished_per_s": per_s}, ledger


async def _fairness(system: System, cell: Cell) -> Measured:
    """Compare calm orgs alone with the same beside one that floods, and whose handler hangs."""
    if not isinstance(system, Ringback):
        raise CellError("Only Ringback has orgs.")
    return await fairness.measure(system, cell.value, cell.size, cell.seconds)


async def _idle(system: System) -> None:
    """Wait until no more webhooks are finished."""
    before, count = -1, await system.count_finished()
    while count != before:
        await asyncio.sleep(_IDLE_S)
        before, count = count, await system.count_finished()


async def _until_finished(system: System, count: int, within_s: float) -> int:
    """Wait until `count` webhooks are finished, or `within_s`; return how many are."""
    deadline = time.monotonic() + within_s
    while True:
        found = await system.count_finished()
        if found >= count or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_POLL_S)
