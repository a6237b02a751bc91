"""The metrics service beside a real broker and a real database."""

from pathlib import Path

import aio_pika
import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status, WaitReason
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.runtime.amqp import topology
from ringback.runtime.postgres import migrate
from tests.integration.metrics.metrics_process import metrics_process
from tests.integration.metrics.queried_log import OURS, dead, write
from tests.integration.metrics.waiting_rows import add_wait
from tests.support.eventually import eventually

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
DEAD = "webhook_dead_letter_queue_size"


async def publish(amqp_url: str, queue: str, count: int) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for _ in range(count):
            message = aio_pika.Message(b"{}", delivery_mode=2)
            await channel.default_exchange.publish(message, queue)


async def test_gauges_show_queues_dead_letters_statuses_and_the_ledger(
    amqp_url: str, database_url: str, log: asyncpg.Connection, tmp_path: Path, broker: PrivateBroker
) -> None:
    """Also of empty queues and statuses. Dead letters are those of the log and of the queue.

    Unacknowledged messages come from the management API, in the gauge of their name.
    """
    await topology.apply(amqp_url, SCHEDULE)
    await publish(amqp_url, "webhooks.work", 3)
    await publish(amqp_url, "webhooks.dlq", 2)
    await publish(amqp_url, "webhooks.quarantine", 3)
    await write(log, dead(), dead(resolution="dismissed"))
    await add_wait(log, OURS)
    await add_wait(log, OURS, due_in_s=-3600, reason="destination", destination="crm")
    await log.execute(
        "INSERT INTO webhook_gateway_ledger (gateway_instance_id, accepted) VALUES ($1, 2)",
        new_job_id(),
    )
    expected = {
        DEAD: 3,
        'webhook_queue_messages{queue="webhooks.dlq"}': 2,
        'webhook_queue_messages{queue="webhooks.quarantine"}': 3,
        'webhook_queue_messages{queue="webhooks.work"}': 1,
        'webhook_queue_unacked{queue="webhooks.work"}': 2,
        'webhook_queue_unacked{queue="webhooks.dlq"}': 0,
        'webhook_queue_messages{queue="webhooks.retry.3.8s"}': 0,
        'webhook_queue_consumers{queue="webhooks.bulk"}': 0,
        "ringback_broker_connected": 1,
        "webhook_ledger_accepted": 2,
        "webhook_ledger_deficit": 2,
        "webhook_extra_partitions": 0,
        'webhook_oldest_age_seconds{status="pending"}': 0,
        'webhook_oldest_age_seconds{status="failed"}': 0,
        **{f'webhook_deliveries{{status="{status}"}}': 0 for status in Status},
        'webhook_deliveries{status="dead_letter"}': 2,
        **{f'webhook_waiting{{reason="{reason}"}}': 0 for reason in WaitReason},
        'webhook_waiting{reason="retry"}': 1,
        'webhook_waiting{reason="destination"}': 1,
        'webhook_wait_overdue_seconds{reason="retry"}': 0,
    }

    settings = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "RINGBACK_RABBITMQ_MANAGEMENT_URL": broker.management_url,
    }
    async with (
        await aio_pika.connect(amqp_url) as connection,
        metrics_process(tmp_path, **settings) as metrics,
    ):
        channel = await connection.channel()
        queue = await channel.get_queue("webhooks.work")
        for _ in range(2):
            await queue.get(timeout=60)
        await eventually(metrics.is_ready)

        async def shows_all() -> bool:
            samples = await metrics.samples()
            assert {name: samples.get(name) for name in expected} == expected
            assert samples["webhook_partitions_ahead"] >= 1
            assert samples['webhook_wait_overdue_seconds{reason="destination"}'] >= 3600
            return True

        await eventually(shows_all)


async def test_the_service_works_without_the_management_api(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """An outage is logged once, without the address, and the gauges are absent."""
    await topology.apply(amqp_url, SCHEDULE)
    away = "http://user:hidden-password@127.0.0.1:1"
    settings = {
        "amqp_url": amqp_url,
        "database_url": database_url,
        "RINGBACK_RABBITMQ_MANAGEMENT_URL": away,
    }

    async with metrics_process(tmp_path, **settings) as metrics:
        await eventually(metrics.is_ready)
        await eventually(lambda: metrics.logged("management_api.unavailable"))
        samples = await metrics.samples()

    output = metrics.log_path.read_text(encoding="utf-8")
    assert not [name for name in samples if name.startswith("webhook_queue_unacked")]
    assert metrics.logged("management_api.unavailable") == 1
    assert "hidden-password" not in output


async def test_a_broker_without_our_queues_stops_the_start(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Without the topology it exits with a sentence with the next step."""
    async with metrics_process(tmp_path, amqp_url=amqp_url, database_url=database_url) as metrics:
        await eventually(lambda: metrics.process.poll() is not None)

        output = metrics.log_path.read_text(encoding="utf-8")
        assert metrics.process.returncode == 1
        assert "Run `ringback topology apply`." in output
        assert "Traceback" not in output


@pytest.mark.slow
async def test_gauges_are_absent_during_an_outage(
    own_broker: PrivateBroker, own_amqp_url: str, own_database: PrivateDatabase, tmp_path: Path
) -> None:
    """Without the database or the broker its gauges and readiness go; both return."""
    await migrate.migrate(own_database.url())
    await topology.apply(own_amqp_url, SCHEDULE)
    urls = {"amqp_url": own_amqp_url, "database_url": own_database.url()}
    async with metrics_process(tmp_path, **urls) as metrics:

        async def knows_all() -> bool:
            samples = await metrics.samples()
            return DEAD in samples and await metrics.is_serving() and await metrics.is_ready()

        async def knows_no_dead_letters() -> bool:
            samples = await metrics.samples()
            return DEAD not in samples and not await metrics.is_serving()

        async def knows_no_queues() -> bool:
            samples = await metrics.samples()
            return not any(name.startswith("webhook_queue") for name in samples)

        await eventually(metrics.is_ready)
        await eventually(knows_all)

        await own_database.stop()
        await eventually(knows_no_dead_letters, deadline_s=20)
        await own_database.start()
        await eventually(knows_all, deadline_s=20)

        await own_broker.stop()
        await eventually(knows_no_queues, deadline_s=20)
        await own_broker.start()
        await eventually(knows_all, deadline_s=20)
