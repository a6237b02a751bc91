"""The processor's connection to the broker: three queues, and the reasons to pause them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

import structlog
from aio_pika.abc import AbstractConnection

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    WEBHOOKS,
    WORK_BINDING,
    WORK_QUEUE,
    topology,
)
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS, BrokerConnection
from ringback.runtime.amqp.management_api import ManagementError, management_api
from ringback.runtime.amqp.topology import require_topology
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.consume.consumer import OnMessage, QueueConsumer
from services.processor.consume.database_watch import DatabaseWatch

_WATCH_EVERY_S = 10.0
_DEAD_LETTERS_AT_ONCE = 20

# The reasons for which a queue is paused.
_AWAY = "database"
_PAUSED = "paused"
_QUARANTINE = "quarantine"
_DRAINING = "draining"

log = structlog.get_logger()


class ConsumerGroup:
    """Consume webhooks while it is entered and the database answers.

    It begins paused: until the database has answered once, nothing could be recorded, and it is
    unknown whether processing is paused. Dead letters are recorded during a pause as well.
    """

    def __init__(
        self, amqp_url: str, schedule: RetrySchedule, prefetch: int, watch: DatabaseWatch
    ) -> None:
        self._schedule = schedule
        self._watch = watch
        self._link = BrokerConnection(amqp_url, "ringback-processor-consume", self._on_open)
        self._prefetch = prefetch
        self._taps: tuple[QueueConsumer, ...] = ()
        self._attempted: tuple[QueueConsumer, ...] = ()
        self._work: QueueConsumer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._reopening = False
        self._is_stopping = False

    def take(self, *, work: OnMessage, quarantine: OnMessage, dead_letter: OnMessage) -> None:
        """Set the receiver of each queue's messages; once, before it is entered."""
        self._work = self._tap(WORK_QUEUE, self._prefetch, work, _AWAY, _PAUSED)
        quarantined = self._tap(QUARANTINE_QUEUE, 1, quarantine, _AWAY, _PAUSED)
        dead_letters = self._tap(DEAD_LETTER_QUEUE, _DEAD_LETTERS_AT_ONCE, dead_letter, _AWAY)
        self._attempted = (self._work, quarantined)
        self._taps = (*self._attempted, dead_letters)

    @property
    def is_connected(self) -> bool:
        return self._link.is_connected

    @property
    def in_flight(self) -> int:
        """How many webhooks are being attempted, or wait for their turn here."""
        return sum(tap.in_flight for tap in self._attempted)

    def is_stopping(self) -> bool:
        """Whether it has stopped consuming for good, and may cancel work in flight."""
        return self._is_stopping

    async def answers(self) -> bool:
        """Whether the broker knows our consumers.

        Raises one of BROKER_UNAVAILABLE_ERRORS without an answer.
        """
        return self._link.is_connected and all([await tap.is_consuming() for tap in self._taps])

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        await self._link.wait_for_first_attempt()
        if isinstance(self._link.failure, CannotStartError):
            await self._link.__aexit__(None, None, None)
            raise self._link.failure
        self._spawn(self._reopen())
        self._spawn(self._watch_consumers())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(*self._tasks)
        await self._link.__aexit__(kind, error, traceback)

    async def database_away(self) -> None:
        """Stop consuming until the database answers again."""
        for tap in self._taps:
            await tap.pause(_AWAY)
        if not self._reopening:
            self._spawn(self._reopen())

    async def pause(self) -> None:
        """Stop consuming webhooks to attempt. Work in flight continues."""
        for tap in self._attempted:
            await tap.pause(_PAUSED)

    async def resume(self) -> None:
        """End the pause. Other reasons may still keep the queues paused."""
        for tap in self._attempted:
            await tap.open(_PAUSED)

    async def drain(self, timeout_s: float) -> None:
        """Stop consuming for good; finish work in flight in time, and leave the rest unanswered."""
        self._is_stopping = True
        for tap in self._taps:
            await tap.pause(_DRAINING)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for tap in self._taps:
                    await tap.emptied()
        left = sum(tap.in_flight for tap in self._taps)
        if left:
            log.warning(LogEvent.PROCESSOR_WORK_ABANDONED, in_flight=left)
        for tap in self._taps:
            await tap.drop_all()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None, None]:
        """While entered, no webhook of the work queue is consumed or in flight."""
        assert self._work is not None
        await self._work.pause(_QUARANTINE)
        try:
            await self._work.emptied()
            yield
        finally:
            await self._work.open(_QUARANTINE)

    def _tap(
        self, queue_name: str, prefetch: int, on_message: OnMessage, *shut_for: str
    ) -> QueueConsumer:
        return QueueConsumer(
            queue_name, prefetch, on_message, on_lost=self._link.reconnect, shut_for=shut_for
        )

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_open(self, connection: AbstractConnection) -> None:
        await require_topology(connection, topology(self._schedule))
        for tap in self._taps:
            await tap.attach(connection)

    async def _reopen(self) -> None:
        self._reopening = True
        try:
            await self._watch.until_it_answers()
        finally:
            self._reopening = False
        for tap in self._taps:
            await tap.open(_AWAY)

    async def _watch_consumers(self) -> None:
        """A consumer can vanish while its connection looks healthy. Then open everything again."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            if not self._link.is_connected:
                continue
            try:
                is_consuming = await self.answers()
            except BROKER_UNAVAILABLE_ERRORS as exc:
                log.warning(LogEvent.CONSUMER_UNKNOWN, reason=type(exc).__name__)
                is_consuming = False
            if not is_consuming:
                log.warning(LogEvent.CONSUMER_MISSING)
                self._link.reconnect()


class BindingWatch:
    """Ask the broker's management API, because AMQP cannot list bindings.

    Without its binding the queue stays empty, and everything published becomes a dead letter.
    """

    def __init__(self, url: str | None, amqp_url: str) -> None:
        self._url = url
        self._amqp_url = amqp_url

    async def is_bound(self) -> bool:
        """False only if the API reports no binding. A missing or unreachable API proves nothing."""
        if self._url is None:
            return True
        try:
            async with management_api(self._url, self._amqp_url) as api:
                return WORK_BINDING in await api.bindings_from(WEBHOOKS)
        except ManagementError:
            return True
