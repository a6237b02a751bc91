"""Pending rows are batched, written in order, kept during outages, and limited."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from ringback.services.gateway.log.delivery_log import PendingRow, PendingRows
from tests.support.eventually import eventually
from tests.support.jumping_loop import JumpingLoop
from tests.unit.gateway.envelopes import an_envelope
from tests.unit.gateway.serving import gateway_instruments


class MemoryLog:
    """A log in memory that can be unavailable, hang or fail."""

    def __init__(self) -> None:
        self.rows: list[PendingRow] = []
        self.batches: list[int] = []
        self.ledger: list[int] = []
        self.is_unavailable = False
        self.poison: PendingRow | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int:
        await self.answers.wait()
        if self.is_unavailable:
            raise ConnectionRefusedError
        if self.poison in rows:
            raise ZeroDivisionError
        self.rows.extend(rows)
        self.batches.append(len(rows))
        if accepted is not None:
            self.ledger.append(accepted)
        return 0


def row() -> PendingRow:
    return PendingRow(an_envelope(), None)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def pending(
    log: MemoryLog,
    registry: CollectorRegistry,
    *,
    max_rows: int = 100,
    flush_timeout_s: float = 60.0,
) -> PendingRows:
    instruments = gateway_instruments(registry)
    return PendingRows(log, instruments, max_rows=max_rows, flush_timeout_s=flush_timeout_s)


def _has_rows(log: MemoryLog, count: int) -> bool:
    return len(log.rows) == count


def counted(registry: CollectorRegistry, outcome: str) -> float | None:
    return registry.get_sample_value("webhook_pending_rows_total", {"outcome": outcome})


async def test_rows_are_batched(registry: CollectorRegistry) -> None:
    """One write for many rows, in their order."""
    log = MemoryLog()
    rows = [row() for _ in range(10)]

    async with pending(log, registry).running() as rows_pending:
        for one in rows:
            rows_pending.add(one)
        await eventually(lambda: log.rows == rows)

    assert log.batches[0] == 10
    assert counted(registry, "written") == 10


async def test_a_row_above_the_limit_is_dropped_and_counted(registry: CollectorRegistry) -> None:
    """Rows are limited; the ledger counts every webhook."""
    log = MemoryLog()
    log.answers.clear()

    async with pending(log, registry, max_rows=3).running() as rows_pending:
        for _ in range(5):
            rows_pending.add(row())
        assert counted(registry, "dropped") == 2

        log.answers.set()

    assert len(log.rows) == 3
    assert log.ledger[-1] == 5


async def test_rows_outlast_an_outage(registry: CollectorRegistry) -> None:
    """They are written once, when the database is available again."""
    log = MemoryLog()
    log.is_unavailable = True
    one = row()

    async with pending(log, registry).running() as rows_pending:
        rows_pending.add(one)
        await asyncio.sleep(0.1)
        log.is_unavailable = False
        await eventually(lambda: log.rows == [one])

    assert counted(registry, "dropped") == 0


async def test_stopping_does_not_wait_for_an_unavailable_database(
    registry: CollectorRegistry,
) -> None:
    """Rows that cannot be written in time are dropped and counted."""
    log = MemoryLog()
    log.answers.clear()

    async with pending(log, registry, flush_timeout_s=0.1).running() as rows_pending:
        rows_pending.add(row())

    assert counted(registry, "dropped") == 1


def test_the_ledger_is_written_at_intervals(registry: CollectorRegistry) -> None:
    """Many batches, few ledger rows, and the last one has the final count."""
    log = MemoryLog()

    async def add_five() -> None:
        # The first row finds a ledger that is not written for a while.
        await asyncio.sleep(10)
        async with pending(log, registry).running() as rows_pending:
            for count in range(1, 6):
                rows_pending.add(row())
                await eventually(partial(_has_rows, log, count))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(add_five())

    assert len(log.batches) >= 5
    assert log.ledger == [1, 5]


async def test_a_bug_in_the_log_does_not_end_the_writing(registry: CollectorRegistry) -> None:
    """An unexpected error loses its batch; later rows are written."""
    log = MemoryLog()
    log.poison = row()
    later = row()

    async with pending(log, registry).running() as rows_pending:
        rows_pending.add(log.poison)
        await eventually(lambda: counted(registry, "dropped") == 1)
        rows_pending.add(later)
        await eventually(lambda: log.rows == [later])
