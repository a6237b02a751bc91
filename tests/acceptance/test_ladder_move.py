"""The ladder is moved under webhooks that wait on every rung, by a command that is killed once."""

import asyncio
import uuid
from pathlib import Path

import aio_pika
import asyncpg
import pytest

from chaos.load.webhook import Kind, special
from chaos.stage import install
from ringback.contract.ladder import Ladder
from ringback.contract.ladder_move import rung_bindings
from ringback.local.broker import PrivateBroker
from ringback.runtime.topology import bound_rungs
from tests.acceptance.whole import Whole, whole_ringback
from tests.integration.cli.command import begin, ringback
from tests.support.tokens import token

OLD, NEW = Ladder.parse("2s,2s,2s"), Ladder.parse("200ms,300ms")
TRICKLE_S = 0.2


def body(kind: Kind, attempts: int) -> bytes:
    return special(f"move-{uuid.uuid4()}", kind, failUntilAttempt=attempts)


async def wave(whole: Whole) -> dict[str, int]:
    """Send three: two succeed at their third attempt, one never. The attempts by job id."""
    return {
        await whole.accepted(body(kind, attempts)): attempts
        for kind, attempts in [(Kind.WRITTEN, 3), (Kind.WRITTEN, 9), (Kind.PLAIN, 3)]
    }


async def depths(amqp_url: str) -> list[int]:
    """What waits on each of the old rungs."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        found = [await channel.declare_queue(rung.queue_name, passive=True) for rung in OLD.rungs]
    return [queue.declaration_result.message_count or 0 for queue in found]


async def sent_until_each_rung_holds_some(whole: Whole, amqp_url: str) -> dict[str, int]:
    """A trickle, so that a machine that stands still for a moment does not empty a rung."""
    sent = await wave(whole)
    async with asyncio.timeout(60):
        while not all(await depths(amqp_url)):
            await asyncio.sleep(TRICKLE_S)
            sent |= await wave(whole)
    return sent


async def ends(database: asyncpg.Pool, job_ids: list[str]) -> dict[str, asyncpg.Record]:
    rows = await database.fetch(
        "SELECT id, status, attempts, (SELECT array_agg(attempt ORDER BY attempt)"
        " FROM webhook_delivery_attempts WHERE delivery_id = id) AS made, (SELECT count(*)"
        " FROM chaos.effects WHERE job_id = id) AS effects FROM webhook_delivery_log"
        " WHERE id = ANY ($1::uuid[])",
        job_ids,
    )
    return {str(row["id"]): row for row in rows}


@pytest.mark.slow
async def test_nothing_on_any_rung_is_lost_or_doubled(
    amqp_url: str, database_url: str, broker: PrivateBroker, tmp_path: Path
) -> None:
    """Each webhook ends once, with its effect once; the services keep the setting that they had.

    Fewer rungs than before: what was on its way to attempt 4 runs once more, all else ends at 3.
    """
    await install(database_url)
    async with whole_ringback(
        amqp_url,
        database_url,
        tmp_path,
        RINGBACK_RETRY_LADDER=str(OLD),
        RINGBACK_HANDLERS="chaos.handlers",
    ) as whole:
        command = {
            "RINGBACK_AMQP_URL": amqp_url,
            "RINGBACK_RABBITMQ_MANAGEMENT_URL": broker.management_url,
            "RINGBACK_METRICS_URL": whole.grpc_address,
            "RINGBACK_TOKEN": token(),
        }
        move = ("topology", "move", "--to", str(NEW), "--settle", "1")
        before = await sent_until_each_rung_holds_some(whole, amqp_url)
        killed = await begin(*move, cwd=tmp_path, **command)
        assert killed.stdout is not None
        told = [await killed.stdout.readline()]
        while b"paused" not in told[-1]:
            told.append(await killed.stdout.readline())
        killed.kill()
        await killed.wait()
        again = await ringback(*move, cwd=tmp_path, **command)
        after = await wave(whole)
        sent = before | after
        await whole.settled(list(sent), deadline_s=40)
        ended = await ends(whole.database, list(sent))
        bound = await bound_rungs(amqp_url, broker.management_url)
        once_more = await ringback(*move, cwd=tmp_path, **command)

    assert again.status == once_more.status == 0, again.out + again.err
    assert bound == set(rung_bindings(NEW))
    assert "The old rungs are unbound." in again.out
    assert "was bound already" in once_more.out
    for job_id, attempts in sent.items():
        row = ended[job_id]
        assert row["status"] == ("completed" if attempts == 3 else "dead_letter"), dict(row)
        assert row["made"] == list(range(1, row["attempts"] + 1)), dict(row)
    assert len(ended) == len(sent)
    assert {ended[job_id]["attempts"] for job_id in after} == {3}
    assert 4 in {ended[job_id]["attempts"] for job_id in before}
    effects = [row["effects"] for row in ended.values()]
    assert (sum(effects), max(effects)) == (len(sent) // 3, 1)
