"""The worker of Procrastinate."""

import asyncio
import os
import sys

import psycopg_pool

from benchmarks.peers.procrastinate.tasks import app, log


async def work(handlers: int) -> None:
    pool = psycopg_pool.AsyncConnectionPool(
        os.environ["DATABASE_URL"],
        min_size=5,
        max_size=max(20, handlers),
        open=False,
        kwargs={"autocommit": True},
    )
    async with pool, app.open_async():
        log.append(pool)
        await app.run_worker_async(concurrency=handlers)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
