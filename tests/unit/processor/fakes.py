"""Fakes of the processor's borders: the broker, its consumers, and the delivery log."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.contract.status import AttemptOutcome
from ringback.runtime.observability.instruments import Exemplars
from ringback.runtime.observability.tracing import NO_TRACES
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import AttemptResult, Wait
from ringback.services.processor.consume.settle import Settler
from ringback.services.processor.instruments import ProcessorInstruments
from ringback.services.processor.log.delivery_log import BeginResult, DeliveryLog, RecordedAttempt
from ringback.services.processor.spans import Spans
from tests.unit.processor.events import message

SCHEDULE = RetrySchedule.parse("2s,4s")
SPANS = Spans(NO_TRACES)


@dataclass
class Broker:
    """Records copies and answers. Each of `errors` fails one publish or one answer."""

    copies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    publish_errors: list[BaseException] = field(default_factory=list)
    answer_errors: list[BaseException] = field(default_factory=list)
    channel_is_closed: bool = False
    published: list[aio_pika.Message] = field(default_factory=list)

    async def publish(self, message: aio_pika.Message, *, exchange: str, routing_key: str) -> None:
        if self.publish_errors:
            raise self.publish_errors.pop(0)
        self.published.append(message)
        self.copies.append((f"{exchange}:{routing_key}", dict(message.headers)))

    def incoming(self, **changes: Any) -> AbstractIncomingMessage:
        """A message as aio-pika delivers it."""
        received = message(**changes)

        fake = SimpleNamespace(
            body=received.body,
            routing_key=received.routing_key,
            message_id=received.message_id,
            type=received.type,
            headers=received.headers,
            exchange=received.exchange,
            content_type="application/json",
            timestamp=None,
            channel=SimpleNamespace(is_closed=self.channel_is_closed),
            ack=partial(self._answer, "ack"),
            reject=self._reject,
        )
        return cast("AbstractIncomingMessage", fake)

    async def _reject(self, *, requeue: bool) -> None:
        await self._answer("requeue" if requeue else "reject")

    async def _answer(self, answer: str) -> None:
        if self.answer_errors:
            raise self.answer_errors.pop(0)
        self.answers.append(answer)


@dataclass
class FakeConsumers:
    stopping: bool = False
    outages: int = 0
    exclusive_now: bool = False

    def is_stopping(self) -> bool:
        return self.stopping

    async def database_unavailable(self) -> None:
        self.outages += 1

    @asynccontextmanager
    async def exclusive(self) -> AsyncGenerator[None, None]:
        self.exclusive_now = True
        try:
            yield
        finally:
            self.exclusive_now = False


@dataclass
class FakeLog:
    """Records what attempts begin and end with, and answers as configured."""

    begun: BeginResult = field(default_factory=lambda: BeginResult(None, None))
    errors: list[BaseException] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    pool: asyncpg.Pool | None = None
    finished: list[tuple[AttemptContext, AttemptResult]] = field(default_factory=list)
    held: list[tuple[Wait, int]] = field(default_factory=list)
    recorded_meanwhile: AttemptOutcome | None = None

    async def ensure_partition(self, job_id: JobId) -> None:
        self.calls.append(f"partition {job_id}")

    async def begin(self, _: AttemptContext) -> BeginResult:
        self.calls.append("begin")
        return self.begun

    async def finish(self, context: AttemptContext, result: AttemptResult) -> RecordedAttempt:
        self.calls.append("finish")
        if self.errors:
            raise self.errors.pop(0)
        self.finished.append((context, result))
        return RecordedAttempt(result.outcome, is_fresh=True, wait=result.wait)

    def on_wait(self, wait: Wait) -> None:
        """Nothing publishes what waits."""

    async def hold(self, _: AttemptContext, wait: Wait, attempt: Attempt) -> AttemptOutcome | None:
        self.calls.append("hold")
        self.held.append((wait, attempt))
        return self.recorded_meanwhile

    def as_log(self) -> DeliveryLog:
        return cast("DeliveryLog", self)


@dataclass
class FakeTurns:
    """Parks every webhook with `wait`, else gives each its turn."""

    log: FakeLog
    wait: Wait | None = None

    async def take(self, context: AttemptContext) -> Wait | None:
        self.log.calls.append(f"turn of {context.order_key}")
        return self.wait


def instruments(registry: CollectorRegistry | None = None) -> ProcessorInstruments:
    return ProcessorInstruments(
        registry or CollectorRegistry(), SCHEDULE, Exemplars(is_traced=False)
    )


def settler(broker: Broker) -> Settler:
    return Settler(broker, instruments(), retry_wait_s=0.001)
