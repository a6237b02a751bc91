"""Acts as a gateway, and reads what the processor writes."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import orjson
from aio_pika.abc import AbstractChannel

from ringback.contract.envelope import CONTENT_TYPE, Envelope, Header
from ringback.contract.event import Event, read_event
from ringback.contract.identity import JobId, new_job_id
from ringback.contract.retry_schedule import FIRST_ATTEMPT, routing_key
from ringback.contract.topology import QUARANTINE_QUEUE, WEBHOOKS
from ringback.contract.trace_context import new_trace_context
from tests.integration.processor.place import Place
from tests.support.eventually import eventually

ORG = UUID("00000000-0000-4000-8000-00000000000a")
FIRST_KEY = routing_key(FIRST_ATTEMPT)


HANG = {"message": {"type": "hang"}}


def scripted(kind: str, **script: object) -> dict[str, Any]:
    """An event whose script the scripted handler of its type follows."""
    return {"message": {"type": f"test.{kind}", "script": script}}


def envelope_of(body: bytes, **changes: Any) -> Envelope:
    event = read_event(body)
    values: dict[str, Any] = {
        "job_id": new_job_id(),
        "event_type": event.type if isinstance(event, Event) else "unreadable",
        "org_id": ORG,
        "endpoint_id": "default",
        "received_at": datetime.now(UTC),
        "gateway_instance_id": uuid4(),
        "trace": new_trace_context(),
    }
    return Envelope(**values | changes)


def id_on(day: date) -> JobId:
    """A job id that was made at noon of a day."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    milliseconds = int(noon.timestamp() * 1000)
    return JobId(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | (uuid4().int >> 66)))


class Stage:
    def __init__(
        self, place: Place, channel: AbstractChannel, database: asyncpg.Connection
    ) -> None:
        self.place = place
        self.channel = channel
        self.database = database

    async def send(
        self, event: Mapping[str, Any] | bytes, *, key: str = FIRST_KEY, **changes: Any
    ) -> JobId:
        """Publish an event as the gateway does. `changes` are those of its envelope."""
        body = event if isinstance(event, bytes) else orjson.dumps(event)
        envelope = envelope_of(body, **changes)
        await self.publish(
            body,
            key=key,
            headers=envelope.headers(),
            message_id=str(envelope.job_id),
            type=envelope.event_type,
        )
        return envelope.job_id

    async def publish(self, body: bytes, *, key: str = FIRST_KEY, **properties: Any) -> None:
        """Publish any message at all to the exchange of webhooks."""
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            **properties,
        )
        exchange = await self.channel.get_exchange(WEBHOOKS, ensure=False)
        await exchange.publish(message, key)

    async def send_to_quarantine(self, event: Mapping[str, Any], *, crashes: int = 0) -> JobId:
        """Publish an event as a processor quarantines it."""
        body = orjson.dumps(event)
        envelope = envelope_of(body)
        counts = {Header.ATTEMPT.value: FIRST_ATTEMPT, Header.CRASHES.value: crashes}
        message = aio_pika.Message(
            body,
            headers={**envelope.headers(), **counts},
            message_id=str(envelope.job_id),
            type=envelope.event_type,
        )
        await self.channel.default_exchange.publish(message, QUARANTINE_QUEUE)
        return envelope.job_id

    async def row(self, job_id: UUID) -> asyncpg.Record | None:
        return await self.database.fetchrow(
            "SELECT * FROM webhook_delivery_log WHERE id = $1", job_id
        )

    async def until(self, job_id: UUID, status: str, *, deadline_s: float = 15) -> asyncpg.Record:
        """Wait until a webhook has a status, and return its row."""

        async def there() -> asyncpg.Record | None:
            row = await self.row(job_id)
            assert row is not None, f"no row, not {status}"
            assert row["status"] == status, f"{row['status']} ({row['error_message']})"
            return row

        return await eventually(there, deadline_s=deadline_s)

    async def until_finished(self, count: int) -> None:
        """Wait until this many webhooks have ended, with any status."""

        async def there() -> bool:
            ended = await self.database.fetchval(
                "SELECT count(*) FROM webhook_delivery_log "
                "WHERE status IN ('completed', 'duplicate', 'dead_letter')"
            )
            assert ended == count, f"{ended} have ended, not {count}"
            return True

        await eventually(there, deadline_s=300)

    async def attempts(self, job_id: UUID) -> list[asyncpg.Record]:
        return await self.database.fetch(
            "SELECT * FROM webhook_delivery_attempts WHERE delivery_id = $1 ORDER BY attempt",
            job_id,
        )

    async def runs(self, job_id: UUID) -> list[asyncpg.Record]:
        """How often the handler of a webhook was entered."""
        return await self.database.fetch("SELECT * FROM runs WHERE job_id = $1 ORDER BY at", job_id)

    async def until_run(self, job_id: UUID, times: int = 1) -> list[asyncpg.Record]:
        async def there() -> list[asyncpg.Record] | None:
            runs = await self.runs(job_id)
            return runs if len(runs) >= times else None

        return await eventually(there, deadline_s=15)

    async def effects(self, job_id: UUID) -> int:
        """How many rows its transactional handler has committed."""
        count = await self.database.fetchval(
            "SELECT count(*) FROM effects WHERE job_id = $1", job_id
        )
        return int(count)

    async def depth(self, queue: str) -> int:
        """How many messages of a queue wait to be delivered."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def until_waiting(self, queue: str, count: int) -> None:
        """Wait until this many messages of a queue wait to be delivered."""

        async def there() -> bool:
            waiting = await self.depth(queue)
            assert waiting == count, f"{waiting} wait in {queue}, not {count}"
            return True

        await eventually(there, deadline_s=15)

    async def until_empty(self, *queues: str, deadline_s: float = 15) -> None:
        async def empty() -> bool:
            return not any([await self.depth(queue) for queue in queues])

        await eventually(empty, deadline_s=deadline_s)


async def set_paused(stage: Stage, *, paused: bool) -> None:
    await stage.database.execute(
        "SELECT set_webhook_processing($1, 'ada', 'service', 'a migration')", paused
    )


async def rows(stage: Stage) -> list[asyncpg.Record]:
    """What the processors report."""
    return await stage.database.fetch("SELECT * FROM webhook_processors ORDER BY started_at")


@asynccontextmanager
async def opened(place: Place) -> AsyncGenerator[Stage, None]:
    connection = await aio_pika.connect(place.amqp_url)
    database = await asyncpg.connect(place.database_url)
    try:
        yield Stage(place, await connection.channel(), database)
    finally:
        await database.close()
        await connection.close()
