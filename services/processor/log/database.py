"""The database side of the processor, opened as one."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from prometheus_client import CollectorRegistry

from ringback.contract.identity import JobId
from ringback.runtime.observability.server import Ping
from ringback.runtime.postgres.pool import is_writable, open_pool, ping
from ringback.runtime.postgres.queries import load
from services.processor.attempt.attempt import Commits
from services.processor.consume.database_watch import DatabaseWatch
from services.processor.log.commit_batcher import CommitBatcher
from services.processor.log.dead_letters import DeadLettered, DeadLetterEntry, DeadLetterLog
from services.processor.log.delivery_log import DeliveryLog
from services.processor.log.partitions import (
    CommitsOfDays,
    EnsurePartition,
    PartitionRange,
    making_days,
)
from services.processor.settings import ProcessorSettings

_COMMAND_TIMEOUT_S = 10.0
"""A commit takes milliseconds. A cut one is repeated, so waiting for a lock may take longer than
this; a dead connection may not.
"""


@dataclass(frozen=True, slots=True)
class Database:
    pool: asyncpg.Pool
    ensure_partition: EnsurePartition
    watch: DatabaseWatch
    delivery_log: DeliveryLog
    commits: Commits
    dead_letter_log: DeadLetterLog
    dead_letter_commits: CommitBatcher[DeadLetterEntry, DeadLettered | None]

    async def answers(self) -> bool:
        """Whether the database answers, and lets us do our work."""
        return await ping(self.pool) and not self.watch.is_setup_incomplete

    async def is_writable(self) -> bool:
        return await is_writable(self.pool)

    @property
    def checks(self) -> dict[str, Ping]:
        """What must be true of the database before webhooks are consumed, by name."""
        return {"database": self.answers, "database_writable": self.is_writable}


def _pool(
    settings: ProcessorSettings, registry: CollectorRegistry
) -> AbstractAsyncContextManager[asyncpg.Pool]:
    return open_pool(
        settings,
        "ringback-processor",
        registry,
        command_timeout_s=_COMMAND_TIMEOUT_S,
        # A handler with the transaction may do other things in it, until it is cut.
        idle_in_transaction_s=settings.attempt_timeout_s + _COMMAND_TIMEOUT_S,
    )


@asynccontextmanager
async def open_database(
    settings: ProcessorSettings, registry: CollectorRegistry
) -> AsyncGenerator[Database, None]:
    """Everything that writes to the database. Opens while the database is unavailable, too."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_pool(settings, registry))
        days = PartitionRange(pool)
        delivery_log = DeliveryLog(pool, settings.schedule.max_attempts)
        dead_letter_log = DeadLetterLog(pool)

        async def ping_all() -> bool:
            """Run each statement of the work without data, so that any refusal shows now."""
            await delivery_log.begin(())
            await delivery_log.reach_transactions()
            await delivery_log.finish(())
            await dead_letter_log.record(())
            if settings.voice_calls:
                await pool.execute(load("services.processor.builtin", "reach_voice_calls.sql"))
            return await days.learn()

        watch = DatabaseWatch(ping_all, hold_s=settings.database_wait_s)
        commits = CommitsOfDays(days, watch)
        begin = commits(delivery_log.begin, lambda item: item.delivery.envelope.job_id)
        finish = commits(delivery_log.finish, lambda item: item.context.delivery.envelope.job_id)
        record = commits(dead_letter_log.record, lambda item: JobId(item.letter.row.id), lanes=1)
        yield Database(
            pool=pool,
            ensure_partition=await stack.enter_async_context(
                making_days(days, watch, settings.database_wait_s)
            ),
            watch=watch,
            delivery_log=delivery_log,
            commits=Commits(
                begin=await stack.enter_async_context(begin),
                finish=await stack.enter_async_context(finish),
            ),
            dead_letter_log=dead_letter_log,
            dead_letter_commits=await stack.enter_async_context(record),
        )
