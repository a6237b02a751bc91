"""Reads the gauges in the background, so that a scrape never waits for the broker or the log."""

import asyncio

from services.metrics.dead_letter_count import DeadLetterCount
from services.metrics.observe import Observer
from services.metrics.queue_depths import QueueDepths

READ_TIMEOUT_S = 4.0


async def keep_reading(
    queues: QueueDepths, dead_letters: DeadLetterCount, observer: Observer, *, interval_s: float
) -> None:
    """Read both, each by its own deadline, every `interval_s` until cancelled."""
    while True:
        await asyncio.gather(_read_queues(queues, observer), _count(dead_letters, observer))
        await asyncio.sleep(interval_s)


async def _read_queues(queues: QueueDepths, observer: Observer) -> None:
    observer.queues_read(await queues.read(READ_TIMEOUT_S))


async def _count(dead_letters: DeadLetterCount, observer: Observer) -> None:
    unresolved = await dead_letters.read(READ_TIMEOUT_S)
    if unresolved is not None:
        observer.dead_letters_counted(unresolved)
