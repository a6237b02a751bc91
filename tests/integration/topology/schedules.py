"""A virtual host with a retry schedule, and what is bound and waits there."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import (
    DUE_QUEUE,
    WEBHOOKS,
    WORK_QUEUE,
    ScheduleChange,
    retry_queue_bindings,
)
from ringback.runtime.amqp import topology
from ringback.runtime.amqp.schedule_change import (
    ChangeRequest,
    Processing,
    StoppedProcessing,
    change_schedule,
)
from tests.support.eventually import eventually

OLD, NEW = "1s,1h,2s", "2s,3s"

_HOUR_MS = 3_600_000

LOOK_S = 0.3
"""For tests that do not depend on late counts of the broker."""


def schedule_of(text: str) -> RetrySchedule:
    """A schedule whose long delays are retry queues too: messages stay there while a test looks."""
    return RetrySchedule.parse(text, longest_queue_delay_ms=_HOUR_MS)


@dataclass(slots=True)
class RetrySchedules:
    amqp_url: str
    management_url: str
    channel: AbstractChannel

    async def apply(self, schedule: str) -> None:
        await topology.apply(
            self.amqp_url, schedule_of(schedule), management_url=self.management_url
        )

    def request(self, to: str, **changes: Any) -> ChangeRequest:
        values: dict[str, Any] = {"management_url": self.management_url, "settle_s": LOOK_S}
        return ChangeRequest(amqp_url=self.amqp_url, to=schedule_of(to), **values | changes)

    async def change_schedule(
        self, to: str, processing: Processing | None = None, **changes: Any
    ) -> ScheduleChange:
        return await change_schedule(self.request(to, **changes), processing or StoppedProcessing())

    async def move_by_memory(
        self, old: str, to: str, processing: Processing | None = None, **changes: Any
    ) -> ScheduleChange:
        """As the function `change_schedule`, without the management API."""
        knowledge = {"management_url": None, "old": schedule_of(old)}
        return await self.change_schedule(to, processing, **knowledge | changes)

    async def bound(self) -> set[str]:
        found = await topology.bound_retry_queues(self.amqp_url, self.management_url)
        return {f"{binding.routing_key} {binding.queue}" for binding in found}

    async def publish(self, *names: str, attempt: int = 1) -> None:
        """Publish messages as those of an attempt."""
        exchange = await self.channel.get_exchange(WEBHOOKS, ensure=False)
        for name in names:
            message = aio_pika.Message(name.encode(), message_id=name, delivery_mode=2)
            await exchange.publish(message, f"attempt.{attempt}")

    async def take(self) -> AbstractIncomingMessage:
        """The next message to attempt, unanswered; a due retry comes first."""
        due = await self.channel.get_queue(DUE_QUEUE, ensure=False)
        work = await self.channel.get_queue(WORK_QUEUE, ensure=False)

        async def there() -> AbstractIncomingMessage | None:
            return await due.get(fail=False, timeout=60) or await work.get(fail=False, timeout=60)

        return await eventually(there, deadline_s=15)

    async def fail(self, count: int) -> None:
        """Reject so many messages, as a processor does with what failed."""
        for _ in range(count):
            await (await self.take()).reject(requeue=False)

    async def depth(self, queue: str) -> int:
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def consumers(self, queue: str) -> int:
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.consumer_count or 0

    async def until_depth(self, queue: str, count: int) -> None:
        async def there() -> bool:
            return await self.depth(queue) == count

        await eventually(there, deadline_s=15)


def bindings_of(schedule: str) -> set[str]:
    return {f"{one.routing_key} {one.queue}" for one in retry_queue_bindings(schedule_of(schedule))}


@asynccontextmanager
async def opened(amqp_url: str, management_url: str) -> AsyncGenerator[RetrySchedules, None]:
    async with await aio_pika.connect(amqp_url) as connection:
        yield RetrySchedules(amqp_url, management_url, await connection.channel())
