"""Reads the queues and the log in the background, so that no scrape or call waits for them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from services.metrics.dead_letter_count import DeadLetterCount
from services.metrics.log_figures import LogFiguresReader
from services.metrics.observe import Observer
from services.metrics.queue_depths import QueueDepths
from services.metrics.reads.log_state import LogState
from services.metrics.reads.queue_snapshot import QueueSnapshot

READ_TIMEOUT_S = 4.0
_QUICK_S = 1.0

log = structlog.get_logger()


def count_max_age_s(interval_s: float) -> float:
    """The maximum age of a count that is read every `interval_s`.

    After one failed reading the answer is still fresh; after two it is not.
    """
    return 2 * (interval_s + READ_TIMEOUT_S)


@dataclass(slots=True)
class Readings:
    """Updates gauges and the snapshot. Without a new reading, the last one stays and ages."""

    queues: QueueDepths
    log_state: LogState
    dead_letters: DeadLetterCount
    figures: LogFiguresReader
    observer: Observer
    snapshot: QueueSnapshot
    _log_is_away: bool = False

    def loops(self, *, interval_s: float) -> Iterator[Coroutine[Any, Any, None]]:
        """Until cancelled: queues and processing each second, the rest every `interval_s`.

        Each reading has its own deadline, and waits for no other.
        """
        quick_s = min(interval_s, _QUICK_S)
        yield _every(quick_s, self._read_queues)
        yield _every(quick_s, self._read_log)
        yield _every(interval_s, self._count)
        yield _every(interval_s, self._read_figures)

    async def _read_queues(self) -> None:
        depths = await self.queues.read(READ_TIMEOUT_S)
        self.observer.queues_read(depths)
        self.snapshot.queues_read(depths)

    async def _read_log(self) -> None:
        try:
            processing, last_day = await self.log_state.read(READ_TIMEOUT_S)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            if not self._log_is_away:
                log.warning(LogEvent.QUEUE_HEALTH_LOG_NOT_READ, reason=type(exc).__name__)
            self._log_is_away = True
        else:
            self._log_is_away = False
            self.snapshot.log_read(processing, last_day)
            self.observer.in_flight_read(processing.in_flight)

    async def _count(self) -> None:
        unresolved = await self.dead_letters.read(READ_TIMEOUT_S)
        if unresolved is not None:
            self.observer.dead_letters_counted(unresolved)
            self.snapshot.dead_letters_counted(unresolved)

    async def _read_figures(self) -> None:
        figures = await self.figures.read(READ_TIMEOUT_S)
        if figures is not None:
            self.observer.figures_read(figures)


async def _every(interval_s: float, read: Callable[[], Awaitable[None]]) -> None:
    while True:
        await read()
        await asyncio.sleep(interval_s)
