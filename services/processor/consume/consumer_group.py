"""The processor's connection to the broker: four queues, and the reasons to pause them."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry import LogEvent
from ringback.contract.topology import (
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
from ringback.runtime.process.background import end
from ringback.runtime.process.lifecycle import CannotStartError
from services.processor.consume.consumer import RPC_TIMEOUT_S, OnMessage, QueueConsumer
from services.processor.consume.handler_slots import HandlerSlots
from services.processor.consume.message_handler import Consumers
from services.processor.database_watch import DatabaseWatch

CHECK_EVERY_S = 10.0
_DEAD_LETTERS_AT_ONCE = 20

# The reasons for which a queue is paused.
_DATABASE = "database"
_OPERATOR = "operator"
_QUARANTINE = "quarantine"
_DRAINING = "draining"


class Handler(Protocol):
    """Answers the messages of a queue."""

    def handle(
        self, incoming: AbstractIncomingMessage, consumers: Consumers
    ) -> Coroutine[Any, Any, None]:
        """Do what a message asks for, and answer it."""

    def give_back(self, incoming: AbstractIncomingMessage) -> Coroutine[Any, Any, None]:
        """Return a message that was received but not begun."""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class QueueHandlers:
    work: Handler
    due: Handler
    quarantine: Handler
    dead_letters: Handler


class ConsumerGroup:
    """Consume webhooks while it is entered and the database answers.

    It begins paused: until the database has answered once, nothing could be recorded, and it is
    unknown whether processing is paused. Dead letters are recorded during a pause as well.
    """

    def __init__(
        self,
        amqp_url: str,
        schedule: RetrySchedule,
        watch: DatabaseWatch,
        *,
        prefetch: int,
        concurrency: int,
        handlers: QueueHandlers,
        check_every_s: float = CHECK_EVERY_S,
        rpc_timeout_s: float = RPC_TIMEOUT_S,
    ) -> None:
        self._schedule = schedule
        self._watch = watch
        self._check_every_s = check_every_s
        self._rpc_timeout_s = rpc_timeout_s
        self._connection = BrokerConnection(amqp_url, "ringback-processor-consume", self._on_open)
        self._slots = HandlerSlots(concurrency)
        pauses = (_DATABASE, _OPERATOR)
        # The first of them has precedence for the slots.
        self._parallel_consumers = tuple(
            self._consumer(queue, prefetch, self._slots, handler, *pauses)
            for queue, handler in ((DUE_QUEUE, handlers.due), (WORK_QUEUE, handlers.work))
        )
        self._attempt_consumers = (
            *self._parallel_consumers,
            self._consumer(QUARANTINE_QUEUE, 1, HandlerSlots(1), handlers.quarantine, *pauses),
        )
        at_once, handler = _DEAD_LETTERS_AT_ONCE, handlers.dead_letters
        self._all = (
            *self._attempt_consumers,
            self._consumer(DEAD_LETTER_QUEUE, at_once, HandlerSlots(at_once), handler, _DATABASE),
        )
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_waiting_for_database = False
        self._is_stopping = False

    def _consumer(
        self, queue: str, prefetch: int, slots: HandlerSlots, handler: Handler, *reasons: str
    ) -> QueueConsumer:
        return QueueConsumer(
            queue,
            prefetch,
            OnMessage(lambda message: handler.handle(message, self), handler.give_back),
            slots=slots,
            on_lost=self._connection.reconnect,
            paused_for=reasons,
            rpc_timeout_s=self._rpc_timeout_s,
        )

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    @property
    def in_flight(self) -> int:
        """How many webhooks are being attempted, or wait for their turn here."""
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
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._connection)
            await self._connection.wait_for_first_attempt()
            if isinstance(self._connection.failure, CannotStartError):
                raise self._connection.failure
            self._stack = stack.pop_all()
        self._spawn(self._resume_with_database())
        self._spawn(self._check_consumers())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await end(*self._tasks)
        await self._stack.__aexit__(kind, error, traceback)

    async def database_unavailable(self) -> None:
        """Stop consuming until the database answers again."""
        for consumer in self._all:
            await consumer.pause(_DATABASE)
        if not self._is_waiting_for_database:
            self._spawn(self._resume_with_database())

    async def pause(self) -> None:
        """Stop making attempts, because an operator paused processing. Work in flight continues."""
        for consumer in self._attempt_consumers:
            await consumer.pause(_OPERATOR)

    async def resume(self) -> None:
        """End the operator's pause. Other reasons may still keep the queues paused."""
        for consumer in self._attempt_consumers:
            await consumer.resume(_OPERATOR)

    async def drain(self, timeout_s: float) -> None:
        """Stop consuming for good; finish work in flight in time, and leave the rest unanswered."""
        self._is_stopping = True
        for consumer in self._all:
            await consumer.pause(_DRAINING)
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
        """While entered, no webhook of the work or the due queue is being handled.

        Those that were received are handled first: returning them would count as a crash.
        """
        for consumer in self._parallel_consumers:
            await consumer.pause(_QUARANTINE, returns_waiting=False)
        try:
            while any(consumer.in_flight for consumer in self._parallel_consumers):
                for consumer in self._parallel_consumers:
                    await consumer.wait_until_empty()
            with self._slots.closed():
                yield
        finally:
            for consumer in self._parallel_consumers:
                await consumer.resume(_QUARANTINE)

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _on_open(self, connection: AbstractConnection) -> None:
        await require_topology(connection, topology(self._schedule))
        for consumer in self._all:
            await consumer.attach(connection)

    async def _resume_with_database(self) -> None:
        self._is_waiting_for_database = True
        try:
            await self._watch.wait_until_available()
        finally:
            self._is_waiting_for_database = False
        for consumer in self._all:
            await consumer.resume(_DATABASE)

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
    """Whether the work and due queues receive what is published. AMQP cannot list bindings.

    Without a binding, everything published for it becomes a dead letter. False only if the
    management API reports no binding: a missing or unreachable API proves nothing.
    """
    if management_url is None:
        return True
    try:
        async with management_api(management_url, amqp_url) as api:
            return await api.bindings_from(WEBHOOKS) >= {WORK_BINDING, *DUE_BINDINGS}
    except ManagementError:
        return True
