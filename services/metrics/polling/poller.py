"""Reads the queues and the log in the background, so that no scrape or call waits for them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.amqp.management_api import ManagementError, management_api
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.process.background import end
from services.metrics.instruments import StateGauges
from services.metrics.polling.log_stats import LogReader
from services.metrics.polling.queue_depths import QueueDepths
from services.metrics.queries.queue_snapshot import QueueSnapshot

READ_TIMEOUT_S = 4.0
_QUICK_S = 1.0

log = structlog.get_logger()


def count_max_age_s(interval_s: float) -> float:
    """The maximum age of a count that is read every `interval_s`.

    After one failed reading the last value is still fresh; after two it is not.
    """
    return 2 * (interval_s + READ_TIMEOUT_S)


@dataclass(slots=True)
class Poller:
    """Updates gauges and the snapshot. Without a new reading, the last one stays and ages."""

    queues: QueueDepths
    log_reader: LogReader
    gauges: StateGauges
    snapshot: QueueSnapshot
    _log_is_unavailable: bool = False

    async def run(self, *, interval_s: float) -> None:
        """Read the queues and processing every second, the rest every `interval_s`.

        Runs until cancelled. Each reading has its own deadline, and waits for no other.
        """
        quick_s = min(interval_s, _QUICK_S)
        readings = [
            asyncio.create_task(reading)
            for reading in (
                _every(quick_s, self._read_queues),
                _every(quick_s, self._read_state),
                _every(interval_s, self._count_dead_letters),
                _every(interval_s, self._read_stats),
            )
        ]
        try:
            await asyncio.gather(*readings)
        finally:
            # An error of one reading leaves the others running.
            await end(*readings)

    async def _read_queues(self) -> None:
        depths = await self.queues.read(READ_TIMEOUT_S)
        self.gauges.queues_read(depths)
        self.snapshot.queues_read(depths)

    async def _read_state(self) -> None:
        try:
            processing, last_day = await self.log_reader.state(READ_TIMEOUT_S)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            if not self._log_is_unavailable:
                log.warning(LogEvent.QUEUE_HEALTH_LOG_NOT_READ, reason=type(exc).__name__)
            self._log_is_unavailable = True
        else:
            self._log_is_unavailable = False
            self.snapshot.log_read(processing, last_day)
            self.gauges.in_flight_read(processing.in_flight)

    async def _count_dead_letters(self) -> None:
        with suppress(*DATABASE_UNAVAILABLE_ERRORS):
            unresolved = await self.log_reader.unresolved_dead_letters(READ_TIMEOUT_S)
            self.gauges.dead_letters_counted(unresolved)
            self.snapshot.dead_letters_counted(unresolved)

    async def _read_stats(self) -> None:
        with suppress(*DATABASE_UNAVAILABLE_ERRORS):
            self.gauges.stats_read(await self.log_reader.stats(READ_TIMEOUT_S))


async def poll_unacked(
    url: str, amqp_url: str, queues: frozenset[str], gauges: StateGauges, interval_s: float
) -> None:
    """Read unacknowledged messages from the broker's management API, until cancelled.

    `url` is the API's address, such as http://rabbitmq:15672; credentials in it take precedence
    over those of the AMQP URL.
    """
    is_unavailable = False
    async with management_api(url, amqp_url, timeout_s=READ_TIMEOUT_S) as api:
        while True:
            try:
                stats = await api.queues()
            except ManagementError as exc:
                if not is_unavailable:
                    log.warning(LogEvent.MANAGEMENT_API_UNAVAILABLE, reason=exc.reason)
                is_unavailable = True
            else:
                is_unavailable = False
                gauges.unacked_read(
                    {
                        name: one.unacknowledged
                        for name, one in stats.items()
                        if one is not None and name in queues
                    }
                )
            await asyncio.sleep(interval_s)


async def _every(interval_s: float, read: Callable[[], Awaitable[None]]) -> None:
    while True:
        await read()
        await asyncio.sleep(interval_s)
