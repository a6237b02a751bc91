"""The processor's connection to the broker: five queues, and the reasons to pause them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import (
    BULK_BINDING,
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    DUE_BINDINGS,
    DUE_QUEUE,
    QUARANTINE_QUEUE,
    WEBHOOKS,
    WORK_BINDING,
    WORK_QUEUE,
    topology,
)
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS, BrokerConnection
from ringback.runtime.amqp.management_api import ManagementError, management_api
from ringback.runtime.amqp.topology import require_topology
from ringback.runtime.process.background import Work, end, keep_running
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.consume.consumer import RPC_TIMEOUT_S, QueueConsumer
from ringback.services.processor.consume.message_handler import Consumers
from ringback.services.processor.database_watch import DatabaseWatch

CHECK_EVERY_S = 10.0
_DEAD_LETTERS_AT_ONCE = 20

# The reasons for which a queue is paused.
_DATABASE = "database"
_OPERATOR = "operator"
_QUARANTINE = "quarantine"
_DRAINING = "draining"


Handle = Callable[[AbstractIncomingMessage, Consumers], Awaitable[None]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QueueHandlers:
    work: Handle
    bulk: Handle
    due: Handle
    quarantine: Handle
    dead_letters: Handle


class ConsumerGroup:
    """Consume webhooks while it is entered and the database answers.

    It begins paused. Until the database has answered once, nothing can be recorded, and it is
    unknown whether an operator has paused processing. Dead letters are recorded also during an
    operator's pause.
    """

    def __init__(
        self,
        amqp_url: str,
        schedule: RetrySchedule,
        watch: DatabaseWatch,
        *,
        prefetch: int,
        slots: HandlerSlots,
        handlers: QueueHandlers,
        check_every_s: float = CHECK_EVERY_S,
        rpc_timeout_s: float = RPC_TIMEOUT_S,
    ) -> None:
        self._schedule = schedule
        self._watch = watch
        self._check_every_s = check_every_s
        self._rpc_timeout_s = rpc_timeout_s
        self._connection = BrokerConnection(amqp_url, "ringback-processor-consume", self._on_open)
        self._slots = slots
        pauses = (_DATABASE, _OPERATOR)
        self._parallel_consumers = (
            self._consumer(DUE_QUEUE, prefetch, handlers.due, *pauses),
            self._consumer(WORK_QUEUE, prefetch, handlers.work, *pauses),
            self._consumer(BULK_QUEUE, prefetch, handlers.bulk, *pauses),
        )
        self._attempt_consumers = (
            *self._parallel_consumers,
            self._consumer(QUARANTINE_QUEUE, 1, handlers.quarantine, *pauses),
        )
        self._all = (
            *self._attempt_consumers,
            self._consumer(
                DEAD_LETTER_QUEUE, _DEAD_LETTERS_AT_ONCE, handlers.dead_letters, _DATABASE
            ),
        )
        self._exclusive_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_waiting_for_database = False
        self._is_stopping = False

    def _consumer(self, queue: str, prefetch: int, handle: Handle, *reasons: str) -> QueueConsumer:
        return QueueConsumer(
            queue,
            prefetch,
            lambda message: handle(message, self),
            on_lost=self._connection.reconnect,
            paused_for=reasons,
            rpc_timeout_s=self._rpc_timeout_s,
        )

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    @property
    def in_flight(self) -> int:
        """How many webhooks were received and are not settled yet."""
        return sum(consumer.in_flight for consumer in self._attempt_consumers)

    def is_stopping(self) -> bool:
        """Whether it has stopped consuming for good, and may cancel work in flight."""
        return self._is_stopping

    async def answers(self) -> bool:
        """Whether the broker knows our consumers.

        Raises one of BROKER_UNAVAILABLE_ERRORS without an answer.
        """
        return self.is_connected and all([await one.is_consuming() for one in self._all])

    async def __aenter__(self) -> Self:
        await self._connection.__aenter__()
        await self._connection.wait_for_first_attempt()
        if isinstance(self._connection.failure, CannotStartError):
            await self._connection.__aexit__(None, None, None)
            raise self._connection.failure
        self._spawn(self._resume_with_database)
        self._spawn(self._check_consumers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(*self._tasks)
        await self._connection.__aexit__(kind, error, traceback)

    async def database_unavailable(self) -> None:
        """Stop consuming until the database answers again."""
        await self._pause(self._all, _DATABASE)
        if not self._is_waiting_for_database:
            self._spawn(self._resume_with_database)

    async def pause(self) -> None:
        """Stop making attempts, because an operator paused processing. Those begun continue."""
        await self._pause(self._attempt_consumers, _OPERATOR)

    async def resume(self) -> None:
        """End the operator's pause. Other reasons may still keep the queues paused."""
        await self._resume(self._attempt_consumers, _OPERATOR)

    async def drain(self, timeout_s: float) -> None:
        """Stop consuming for good; finish work in flight in time, and leave the rest unanswered."""
        self._is_stopping = True
        await self._pause(self._all, _DRAINING)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for consumer in self._all:
                    await consumer.wait_until_empty()
        left = sum(consumer.in_flight for consumer in self._all)
        if left:
            log.warning(LogEvent.PROCESSOR_WORK_ABANDONED, in_flight=left)
        for consumer in self._all:
            await consumer.drop_all()

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[None, None]:
        """While entered, no other webhook is in flight.

        Those that were received are attempted first: returning them would count as a crash.
        """
        async with self._exclusive_lock:
            try:
                # Within `try`: a handler may cancel this, and then nothing must stay paused.
                for consumer in self._parallel_consumers:
                    await consumer.pause(_QUARANTINE)
                for consumer in self._parallel_consumers:
                    await consumer.wait_until_empty()
                yield
            finally:
                for consumer in self._parallel_consumers:
                    await consumer.resume(_QUARANTINE)

    async def _pause(self, consumers: Iterable[QueueConsumer], reason: str) -> None:
        """Stop consuming, then return the messages that have no slot yet.

        In the other order, the broker would send the returned messages again at once.
        """
        for consumer in consumers:
            await consumer.pause(reason)
        self._slots.close(reason)

    async def _resume(self, consumers: Iterable[QueueConsumer], reason: str) -> None:
        self._slots.open(reason)
        for consumer in consumers:
            await consumer.resume(reason)

    def _spawn(self, work: Work) -> None:
        task = asyncio.create_task(keep_running(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_open(self, connection: AbstractConnection) -> None:
        await require_topology(connection, topology(self._schedule))
        await self.attach(connection)

    async def attach(self, connection: AbstractConnection) -> None:
        """Consume from this connection from now on, where no reason pauses a queue."""
        for consumer in self._all:
            await consumer.attach(connection)

    async def _resume_with_database(self) -> None:
        self._is_waiting_for_database = True
        try:
            await self._watch.wait_until_available()
        finally:
            self._is_waiting_for_database = False
        await self._resume(self._all, _DATABASE)

    async def _check_consumers(self) -> None:
        """A consumer can vanish while its connection looks healthy. Then open everything again."""
        while True:
            await asyncio.sleep(self._check_every_s)
            if not self.is_connected:
                continue
            try:
                is_consuming = await self.answers()
            except BROKER_UNAVAILABLE_ERRORS as exc:
                log.warning(LogEvent.CONSUMER_UNKNOWN, reason=type(exc).__name__)
                is_consuming = False
            if not is_consuming:
                log.warning(LogEvent.CONSUMER_MISSING)
                self._connection.reconnect()


async def queues_are_bound(management_url: str | None, amqp_url: str) -> bool:
    """Whether the work, bulk and due queues receive what is published. AMQP cannot list bindings.

    Without a binding, the messages for it become dead letters. Returns False only if the management
    API reports that a binding is missing; without an answer from the API, it returns True.
    """
    if management_url is None:
        return True
    try:
        async with management_api(management_url, amqp_url) as api:
            return await api.bindings_from(WEBHOOKS) >= {WORK_BINDING, BULK_BINDING, *DUE_BINDINGS}
    except ManagementError:
        return True
