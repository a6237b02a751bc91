"""Two organisations with something of each in every table, and sessions of a caller's role."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.runtime.postgres.queries import load
from tests.integration.migrations.log_calls import End, Webhook, bury, finish
from tests.support.database_roles import METRICS, url_as

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
ALL = UUID(int=2**128 - 1)
"""The statistics keep the total of all organisations under this id."""

STATEMENT_TIMEOUT_MS = "30000"
Caller = Callable[..., Awaitable[asyncpg.Connection]]


@dataclass(frozen=True, slots=True)
class Letters:
    """A dead letter and a completed webhook of one organisation."""

    dead: UUID
    done: UUID
    copy: UUID


async def fill(connection: asyncpg.Connection, org_id: UUID) -> Letters:
    """Make something of an organisation in each table that has an organisation."""
    dead = Webhook(org_id=org_id, dedup_key="dead")
    done = Webhook(org_id=org_id, dedup_key="done")
    copy = Webhook(org_id=org_id, dedup_key="done")
    retried = Webhook(org_id=org_id, dedup_key="retried")
    error = ("TimeoutError", "It took too long.")
    await finish(connection, End(done), *(End(w, "permanent", 1, error) for w in (dead, retried)))
    await finish(connection, End(copy))
    await bury(connection, dead, retried, attempt=1)
    for counted in (org_id, ALL):
        await connection.execute(
            "INSERT INTO webhook_stats VALUES ($1, 'hour', date_trunc('hour', now(), 'UTC'),"
            " 'hang', 1, 0, 0, 0, 0, 1) ON CONFLICT DO NOTHING",
            counted,
        )
    assert await retry(connection, retried.id) == "retried"
    await connection.execute(
        "INSERT INTO voice_calls (org_id, call_id, first_event_at, last_event_at)"
        " VALUES ($1, 'c-1', now(), now())",
        org_id,
    )
    return Letters(dead=dead.id, done=done.id, copy=copy.id)


async def retry(connection: asyncpg.Connection, original: UUID) -> str:
    """Retry as a person does; the verdict."""
    verdict: str = await connection.fetchval(
        "SELECT verdict FROM retry_webhook($1, $2, 4, 'ada', 'tenant', 'Fixed.', NULL, '{}')",
        original,
        new_job_id(),
    )
    return verdict


async def run_duplicate(connection: asyncpg.Connection, original: UUID) -> str:
    """Run a duplicate as a person does; the verdict."""
    verdict: str = await connection.fetchval(
        "SELECT verdict FROM run_duplicate_webhook($1, $2, 4, 'ada', 'tenant', 'No.', NULL, '{}')",
        original,
        new_job_id(),
    )
    return verdict


async def discard(connection: asyncpg.Connection, job_id: UUID) -> str:
    """Discard as a person does; the verdict."""
    verdict: str = await connection.fetchval(
        "SELECT verdict FROM discard_webhook($1, 'ada', 'tenant', 'Not needed.')", job_id
    )
    return verdict


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser's."""
    opened = await asyncpg.connect(database_url, command_timeout=30)
    yield opened
    await opened.close()


@pytest.fixture
async def ours(connection: asyncpg.Connection) -> Letters:
    return await fill(connection, OURS)


@pytest.fixture
async def theirs(connection: asyncpg.Connection) -> Letters:
    return await fill(connection, THEIRS)


@pytest.fixture
async def calling(database_url: str) -> AsyncIterator[Caller]:
    """Opens transactions as the metrics service does: from its own role to its caller's."""
    async with AsyncExitStack() as stack:

        async def opening(role: str, org: UUID | str | None = None) -> asyncpg.Connection:
            opened = await asyncpg.connect(url_as(database_url, METRICS), command_timeout=30)
            stack.push_async_callback(opened.close)
            transaction = opened.transaction()
            await transaction.start()
            set_role = load("services.metrics.auth", "set_role.sql")
            await opened.execute(set_role, role, str(org or ""), STATEMENT_TIMEOUT_MS)
            return opened

        yield opening
