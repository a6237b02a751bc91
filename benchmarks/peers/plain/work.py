"""Consumes as the tutorial of aio-pika does, and writes the delivery log."""

import asyncio
import os
import sys
from functools import partial
from uuid import UUID

import aio_pika
import asyncpg
import orjson
import uvloop

from benchmarks.peers.plain.accept import QUEUE

_ORG = UUID("00000000-0000-0000-0000-000000000001")
_INSERT = """
    INSERT INTO log (id, org_id, job_id, event_type, event_data, status, attempts, last_attempt_at)
    VALUES ($1, $2, $3, $4, $5, 'processing', 1, now())
    ON CONFLICT (job_id) DO UPDATE SET attempts = log.attempts + 1, last_attempt_at = now()
"""
_UPDATE = "UPDATE log SET status = 'completed', completed_at = now() WHERE job_id = $1"


async def _work(pool: asyncpg.Pool, message: aio_pika.abc.AbstractIncomingMessage) -> None:
    async with message.process(requeue=True):
        job_id = message.message_id
        assert job_id
        event_type = orjson.loads(message.body)["message"]["type"]
        event_data = message.body.decode()
        await pool.execute(_INSERT, UUID(job_id), _ORG, job_id, event_type, event_data)
        await pool.execute(_UPDATE, job_id)


async def consume(database_url: str, handlers: int, amqp_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=5, max_size=max(20, handlers)) as pool:
        connection = await aio_pika.connect_robust(amqp_url)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=handlers)
        arguments = {"x-queue-type": "quorum"}
        queue = await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
        await queue.consume(partial(_work, pool))
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(consume(os.environ["DATABASE_URL"], int(sys.argv[1]), os.environ["AMQP_URL"]))
