"""Reads the queues and the log in the background, so that no scrape or call waits for them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.amqp.management_api import ManagementError, management_api
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.refusal import reason_of
from ringback.runtime.process.background import end
from ringback.services.metrics.instruments import StateGauges
from ringback.services.metrics.polling.log_stats import LogReader
from ringback.services.metrics.polling.queue_depths import QueueDepths
from ringback.services.metrics.queries.queue_snapshot import Oldest, QueueSnapshot

READ_TIMEOUT_S = 4.0
_SHORT_INTERVAL_S = 1.0

log = structlog.get_logger()


def count_max_age_s(interval_s: float) -> float:
    """The maximum age of a count that is read every `interval_s`.

    After one failed reading the last value is still fresh; after two it is not.
    """
    return 2 * (interval_s + READ_TIMEOUT_S)


@dataclass(slots=True)
class Poller:
    """Updates the gauges and the snapshot. A reading that is not renewed expires."""

    queues: QueueDepths
    log_reader: LogReader
    gauges: StateGauges
    snapshot: QueueSnapshot
    _failing: dict[str, str] = field(default_factory=dict)
    """Why each reading fails that does."""

    async def run(self, *, interval_s: float) -> None:
        """Read the queues and processing every second, the rest every `interval_s`.

        Runs until cancelled. Each reading has its own deadline and does not wait for the others.
        """
        short_interval_s = min(interval_s, _SHORT_INTERVAL_S)
        readings = [
            asyncio.create_task(reading)
            for reading in (
                self._every(short_interval_s, self._read_queues),
                self._every(short_interval_s, self._read_state),
                self._every(interval_s, self._count_dead_letters),
                self._every(interval_s, self._count_waits),
                self._every(interval_s, self._read_stats),
            )
        ]
        try:
            # If this is cancelled, `gather` would cancel the readings, and `end` once more while
            # they roll back.
            await asyncio.wait(readings, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await end(*readings)

    async def _every(self, interval_s: float, read: Callable[[], Awaitable[None]]) -> None:
        name = getattr(read, "__name__", "")
        while True:
            try:
                await read()
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                reason = reason_of(exc)
                if reason not in self._failing.values():
                    log.warning(LogEvent.QUEUE_HEALTH_LOG_NOT_READ, reason=reason)
                self._failing[name] = reason
            else:
                self._failing.pop(name, None)
            await asyncio.sleep(interval_s)

    async def _read_queues(self) -> None:
        depths = await self.queues.read(READ_TIMEOUT_S)
        self.gauges.queues_read(depths)
        self.snapshot.queues_read(depths)

    async def _read_state(self) -> None:
        processing, last_day = await self.log_reader.state(READ_TIMEOUT_S)
        self.snapshot.log_read(processing, last_day)
        self.gauges.in_flight_read(processing.in_flight)

    async def _count_dead_letters(self) -> None:
        unresolved = await self.log_reader.unresolved_dead_letters(READ_TIMEOUT_S)
        self.gauges.dead_letters_counted(unresolved)
        self.snapshot.dead_letters_counted(unresolved)

    async def _count_waits(self) -> None:
        waits = await self.log_reader.waits(READ_TIMEOUT_S)
        self.gauges.waits_counted(waits)
        self.snapshot.waits_counted(waits)

    async def _read_stats(self) -> None:
        stats = await self.log_reader.stats(READ_TIMEOUT_S)
        self.gauges.stats_read(stats)
        self.snapshot.ages_read(Oldest(stats.oldest_pending_s, stats.oldest_failed_s))


async def poll_unacked(
    url: str,
    amqp_url: str,
    queues: frozenset[str],
    unacked_read: Callable[[Mapping[str, int]], None],
    interval_s: float,
) -> None:
    """Read unacknowledged messages from the broker's management API, until cancelled.

    `url` is the API's address, such as http://rabbitmq:15672; credentials in it take precedence
    over those of the AMQP URL. `unacked_read` gets the number for each of the `queues`.
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
                unacked_read(
                    {
                        name: one.unacknowledged
                        for name, one in stats.items()
                        if one is not None and name in queues
                    }
                )
            await asyncio.sleep(interval_s)
