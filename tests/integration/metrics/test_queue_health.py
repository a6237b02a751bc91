"""The health of the queues, read in the background from a real broker and a real database."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.retry_schedule import RetrySchedule
from ringback.metrics.v1.metrics_service_pb2 import GetQueueHealthRequest, GetQueueHealthResponse
from ringback.runtime.amqp import topology
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.background import run_in_background
from ringback.runtime.process.settings import DatabaseSettings
from ringback.services.metrics.app import queries
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.instruments import StateGauges
from ringback.services.metrics.polling.log_stats import LogReader
from ringback.services.metrics.polling.poller import Poller
from ringback.services.metrics.polling.queue_depths import QueueDepths
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot
from tests.integration.metrics.queried_log import LogRow, as_org, dead, rpcs, write
from tests.support.database_roles import METRICS, url_as
from tests.support.eventually import eventually

SCHEDULE = RetrySchedule.parse("29s,30s")
INTERVAL_S = 0.1


@asynccontextmanager
async def reading(amqp_url: str, database_url: str) -> AsyncGenerator[Any, None]:
    """The reads, fed by continuous readings, of which none is too old on a busy machine."""
    settings = DatabaseSettings(database_url=url_as(database_url, METRICS), database_pool_min=1)
    async with open_pool(settings, "test") as pool, QueueDepths(amqp_url, SCHEDULE) as queues:
        access, snapshot = Access(pool), QueueSnapshot(count_max_age_s=600, max_age_s=600)
        gauges = StateGauges(
            CollectorRegistry(), max_age_s=600, broker_is_connected=lambda: queues.is_connected
        )
        poller = Poller(queues, LogReader(pool, access), gauges, snapshot)
        async with run_in_background(lambda: poller.run(interval_s=INTERVAL_S)):
            yield rpcs(*queries(access, snapshot, DEFAULT_REDACTION))


@pytest.fixture
async def api(amqp_url: str, database_url: str) -> AsyncGenerator[Any, None]:
    await topology.apply(amqp_url, SCHEDULE)
    async with reading(amqp_url, database_url) as one:

        async def has_read() -> bool:
            request = GetQueueHealthRequest(allow_stale=True)
            answer = await one.get_queue_health(request, as_org(None))
            return all(source.ok for source in answer.sources)

        await eventually(has_read)
        yield one


async def keep(_message: object) -> None:
    """Accept it and do nothing."""


async def health(api: Any) -> GetQueueHealthResponse:
    answer: GetQueueHealthResponse = await api.get_queue_health(
        GetQueueHealthRequest(), as_org(None)
    )
    return answer


async def test_health_counts_webhooks_in_each_place(
    api: Any, log: asyncpg.Connection, amqp_url: str
) -> None:
    """Queues from the broker's counts, processors from their reports, the last day from the log."""
    done = [LogRow(ago_s=n) for n in range(6)]
    old = [LogRow(ago_s=90_000 + n, status="failed", error_class="E") for n in range(5)]
    failing = LogRow(ago_s=5, status="failed", error_class="E")
    await write(log, *done, *old, failing, dead(3), dead(4, resolution="discarded"))
    await beat(log, in_flight=4)
    await beat(log, in_flight=3, ago="1 minute")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for queue, count in (
            ("webhooks.work", 1),
            ("webhooks.bulk", 1),
            ("webhooks.due", 1),
            ("webhooks.quarantine", 2),
            ("webhooks.retry.1.29s", 4),
            ("webhooks.dlq", 1),
        ):
            for _ in range(count):
                message = aio_pika.Message(b"{}", delivery_mode=2)
                await channel.default_exchange.publish(message, queue)

    async def counted() -> GetQueueHealthResponse:
        answer = await health(api)
        metrics = answer.metrics
        assert (metrics.waiting, metrics.active, metrics.delayed) == (5, 4, 4)
        assert (metrics.completed, metrics.failed, metrics.paused) == (6, 3, 0)
        assert (answer.dead_letters, answer.consumers) == (2, 0)
        return answer

    answer = await eventually(counted)
    assert (answer.stats.total_jobs, answer.stats.failure_rate) == (13, "33.33%")
    assert {check.name for check in answer.checks if not check.ok} == {"failure_rate", "consumers"}
    assert not answer.healthy
    assert answer.processing.processors == 1


async def test_a_consumer_and_a_pause_are_seen(
    api: Any, log: asyncpg.Connection, amqp_url: str
) -> None:
    """With a consumer it is healthy; when paused, it counts as paused, with who did it."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("webhooks.work")
        tag = await queue.consume(keep)
        for other in ("webhooks.bulk", "webhooks.due"):
            await (await channel.get_queue(other)).consume(keep)

        async def healthy() -> bool:
            return (await health(api)).healthy

        await eventually(healthy)

        await queue.cancel(tag)
        await beat(log, in_flight=0, paused=True)
        await channel.default_exchange.publish(aio_pika.Message(b"{}"), "webhooks.work")
        await log.execute("SELECT set_webhook_processing(true, 'ann', 'service', 'looking')")

        async def paused() -> bool:
            answer = await health(api)
            assert (answer.metrics.waiting, answer.metrics.paused) == (1, 1)
            assert answer.processing.paused
            assert (answer.processing.changed_by, answer.processing.reason) == ("ann", "looking")
            assert answer.processing.processors_paused == 1
            return not answer.healthy

        await eventually(paused)


async def beat(
    log: asyncpg.Connection, *, in_flight: int, ago: str = "-1 hour", paused: bool = False
) -> None:
    """A processor's heartbeat, as old as `ago`; by default it stays fresh."""
    await log.execute(
        "INSERT INTO webhook_processors VALUES ($1, $2, $3, now(), now() - $4::text::interval)",
        uuid4(),
        in_flight,
        paused,
        ago,
    )


async def test_rates_and_the_oldest_webhook_come_from_the_log(
    api: Any, log: asyncpg.Connection
) -> None:
    """Of what changed between two readings; a webhook that is a day old is the oldest."""
    await write(log, LogRow(ago_s=90_000, status="pending"))
    await log.execute("SELECT fold_webhook_stats(1000)")

    async def measures() -> bool:
        return (await health(api)).HasField("rates")

    await eventually(measures)

    async def counted() -> bool:
        # Again each time: what is written between two minutes is not measured.
        await write(log, *(LogRow() for _ in range(9)), dead())
        answer = await health(api)
        assert answer.rates.accepted > answer.rates.completed > answer.rates.dead_lettered > 0
        assert answer.rates.failed_attempts > 0
        assert answer.oldest.pending_s > 80_000
        assert {source.name: source.ok for source in answer.sources} == {
            "broker": True,
            "database": True,
        }
        return True

    await eventually(counted)
