"""The schedule changes while webhooks wait in every retry queue; the command is killed once."""

import uuid
from dataclasses import replace
from pathlib import Path

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractChannel

from chaos.load.webhook import Kind, special
from chaos.stage import install
from ringback.contract.envelope import Header
from ringback.contract.retry_schedule import Attempt, RetrySchedule, routing_key
from ringback.contract.topology import REQUEUED_KEY, WEBHOOKS, retry_queue_bindings
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp.topology import bound_retry_queues
from tests.acceptance.whole import Whole, whole_ringback
from tests.integration.cli.command import begin, ringback
from tests.integration.processor.stage import envelope_of
from tests.support.eventually import eventually
from tests.support.tokens import token

OLD, NEW = RetrySchedule.parse("30s,30s,30s"), RetrySchedule.parse("200ms,300ms")
DECLARED = RetrySchedule(
    tuple(replace(step, delay_ms=3_600_000) for step in OLD.steps), longest_queue_delay_ms=3_600_000
)
"""The queues of OLD, in which nothing becomes due while a busy machine changes the schedule."""
EACH = 5
NEVER = 9
KINDS = (Kind.WRITTEN, Kind.PLAIN)


def body(kind: Kind, attempts: int) -> bytes:
    return special(f"move-{uuid.uuid4()}", kind, failUntilAttempt=attempts)


async def put(
    channel: AbstractChannel, attempt: int, what: bytes, *, requeued: bool = False
) -> str:
    """Let a webhook be due for an attempt, as if it had failed those before; its job id.

    A requeued one comes from `webhooks.requeued`, with the attempt in a header.
    """
    envelope = envelope_of(what)
    message = aio_pika.Message(
        what,
        headers=envelope.headers() | ({Header.ATTEMPT.value: attempt} if requeued else {}),
        message_id=str(envelope.job_id),
        type=envelope.event_type,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    exchange = await channel.get_exchange(WEBHOOKS, ensure=False)
    await exchange.publish(message, REQUEUED_KEY if requeued else routing_key(Attempt(attempt)))
    return str(envelope.job_id)


async def fill_retry_queues(whole: Whole, channel: AbstractChannel) -> dict[str, tuple[int, int]]:
    """Let webhooks fail into each retry queue. By job id: their current and their last attempt."""
    sent: dict[str, tuple[int, int]] = {}
    for kind in KINDS * EACH:
        sent[await whole.accepted(body(kind, 3))] = (1, 3)
        sent[await whole.accepted(body(kind, NEVER))] = (1, 3)
        sent[await put(channel, 2, body(kind, 3))] = (2, 3)
        sent[await put(channel, 3, body(kind, 4))] = (3, 4)
        sent[await put(channel, 3, body(kind, NEVER))] = (3, 4)
    return sent


async def depths(channel: AbstractChannel) -> list[int]:
    """The messages in each of the old retry queues."""
    found = [
        await channel.declare_queue(retry_queue.queue_name, passive=True)
        for retry_queue in OLD.retry_queues
    ]
    return [queue.declaration_result.message_count or 0 for queue in found]


async def make_due(channel: AbstractChannel) -> None:
    """End the waits in the old retry queues, as their time does."""
    for retry_queue in OLD.retry_queues:
        queue = await channel.get_queue(retry_queue.queue_name, ensure=False)
        while message := await queue.get(fail=False, timeout=60):
            await message.reject(requeue=False)


async def ends(database: asyncpg.Pool, job_ids: list[str]) -> dict[str, asyncpg.Record]:
    rows = await database.fetch(
        "SELECT id, status, (SELECT array_agg(attempt ORDER BY attempt)"
        " FROM webhook_delivery_attempts WHERE delivery_id = id) AS made, (SELECT count(*)"
        " FROM chaos.effects WHERE job_id = id) AS effects FROM webhook_delivery_log"
        " WHERE id = ANY ($1::uuid[])",
        job_ids,
    )
    return {str(row["id"]): row for row in rows}


@pytest.mark.slow
async def test_nothing_on_any_retry_queue_is_lost_or_doubled(
    amqp_url: str, database_url: str, broker: PrivateBroker, tmp_path: Path
) -> None:
    """The new schedule is shorter: what waited for attempt 4 runs once more, others end at 3."""
    await install(database_url)
    settings = {"RINGBACK_RETRY_SCHEDULE": str(OLD), "RINGBACK_HANDLERS": "chaos.handlers"}
    async with (
        whole_ringback(amqp_url, database_url, tmp_path, DECLARED, **settings) as whole,
        await aio_pika.connect(amqp_url) as connection,
    ):
        channel = await connection.channel()
        command = {
            "RINGBACK_AMQP_URL": amqp_url,
            "RINGBACK_METRICS_URL": whole.grpc_address,
            "RINGBACK_TOKEN": token(),
        }
        # By memory: the management API would need ten seconds to have figures of new queues.
        change = ("topology", "change", "--from", str(OLD), "--to", str(NEW), "--settle", "0.5")
        sent = await fill_retry_queues(whole, channel)
        full = [4 * EACH, 2 * EACH, 4 * EACH]

        async def all_wait() -> bool:
            return await depths(channel) == full

        await eventually(all_wait)
        killed = await begin(*change, cwd=tmp_path, **command)
        assert killed.stdout is not None
        lines = [await killed.stdout.readline()]
        while b"paused" not in lines[-1]:
            lines.append(await killed.stdout.readline())
        killed.kill()
        await killed.wait()
        again = await ringback(*change, cwd=tmp_path, **command)
        on_old_retry_queues = await depths(channel)
        bound = await bound_retry_queues(amqp_url, broker.management_url)
        await make_due(channel)
        for kind in KINDS:
            sent[await whole.accepted(body(kind, NEVER))] = (1, 3)
            # The processor publishes it to the retry queues itself, and does not know the new ones.
            sent[await put(channel, 3, body(kind, NEVER), requeued=True)] = (3, 3)
        await whole.settled(list(sent), deadline_s=40)
        ended = await ends(whole.database, list(sent))

    assert again.status == 0, again.out + again.err
    assert "The old retry queues are unbound." in again.out
    assert bound == set(retry_queue_bindings(NEW))
    # They waited there during the change, and continued afterwards.
    assert on_old_retry_queues == full
    for job_id, (first, last) in sent.items():
        assert ended[job_id]["made"] == list(range(first, last + 1)), dict(ended[job_id])
    statuses = [row["status"] for row in ended.values()]
    assert statuses.count("completed") == 6 * EACH
    assert statuses.count("dead_letter") == len(sent) - 6 * EACH
    effects = [row["effects"] for row in ended.values()]
    assert (sum(effects), max(effects)) == (3 * EACH, 1)
