"""A tenant sees nothing of another in the database, tried with the real roles."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import product
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.runtime.postgres.queries import load
from tests.integration.metrics.waiting_rows import add_wait
from tests.integration.migrations.log_calls import End, Webhook, bury, finish
from tests.support.database_roles import METRICS, OPERATOR, SERVICE, TENANT, TENANT_OPERATOR, url_as

OURS = UUID("0198a000-0000-7000-8000-00000000000a")
THEIRS = UUID("0198a000-0000-7000-8000-00000000000b")
ALL = UUID(int=2**128 - 1)
"""The statistics keep the total of all organisations under this id."""

STATEMENT_TIMEOUT_MS = "30000"
Caller = Callable[..., Awaitable[asyncpg.Connection]]
REFUSED = asyncpg.InsufficientPrivilegeError
TENANTS = (TENANT, TENANT_OPERATOR)
SEEN_BY_TENANTS = (
    *("webhook_delivery_log", "webhook_delivery_attempts", "webhook_retries"),
    *("webhook_retry_runs", "webhook_audit", "webhook_stats"),
    *("webhook_stats_deltas", "webhook_waits"),
)
EVERY_TABLE = (*SEEN_BY_TENANTS, "webhook_inbox", "voice_calls")


async def fill(connection: asyncpg.Connection, org_id: UUID) -> None:
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
    await connection.execute(
        "SELECT retry_webhook($1, $2, 4, 'ada', 'tenant', 'Fixed.', NULL, '{}')",
        retried.id,
        new_job_id(),
    )
    await connection.execute(
        "INSERT INTO webhook_retry_runs (id, org_id, kind, include_replays, max_retries,"
        " rate_per_second, stop_after_failures, actor, role, reason, matched, matched_is_minimum,"
        " position, until_id)"
        " VALUES ($1, $2, 'completed', false, 1, 1, 1, 'ada', 'tenant', '', 1, false, $1, $1)",
        new_job_id(),
        org_id,
    )
    await add_wait(connection, org_id)
    await connection.execute(
        "INSERT INTO voice_calls (org_id, call_id, first_event_at, last_event_at)"
        " VALUES ($1, 'c-1', now(), now())",
        org_id,
    )


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The superuser's."""
    opened = await asyncpg.connect(database_url, command_timeout=300)
    yield opened
    await opened.close()


@pytest.fixture
async def ours(connection: asyncpg.Connection) -> None:
    await fill(connection, OURS)


@pytest.fixture
async def theirs(connection: asyncpg.Connection) -> None:
    await fill(connection, THEIRS)


@pytest.fixture
async def calling(database_url: str) -> AsyncIterator[Caller]:
    """Opens transactions as the metrics service does: from its own role to its caller's."""
    async with AsyncExitStack() as stack:

        async def opening(role: str, org: UUID | str | None = None) -> asyncpg.Connection:
            opened = await asyncpg.connect(url_as(database_url, METRICS), command_timeout=300)
            stack.push_async_callback(opened.close)
            transaction = opened.transaction()
            await transaction.start()
            set_role = load("ringback.services.metrics.auth", "set_role.sql")
            await opened.execute(set_role, role, str(org or ""), STATEMENT_TIMEOUT_MS)
            return opened

        yield opening


async def orgs_in(session: asyncpg.Connection, table: str) -> set[UUID]:
    rows = await session.fetch(f"SELECT DISTINCT org_id FROM {table}")  # ruff: ignore[hardcoded-sql-expression]  # a constant name
    return {row["org_id"] for row in rows}


ROLES = (TENANT, SERVICE, TENANT_OPERATOR, OPERATOR)


@pytest.mark.usefixtures("ours", "theirs")
async def test_each_caller_sees_what_it_may(calling: Caller) -> None:
    """In every table that a tenant may read, with a query without a condition.

    A tenant sees its own; a service sees all, also the total that the statistics keep.
    """
    for role, org_id in product(TENANTS, (OURS, THEIRS)):
        session = await calling(role, org_id)
        for table in SEEN_BY_TENANTS:
            assert await orgs_in(session, table) == {org_id}, (role, table)
    for role in (SERVICE, OPERATOR):
        session = await calling(role)
        for table in SEEN_BY_TENANTS:
            assert await orgs_in(session, table) - {ALL} == {OURS, THEIRS}, (role, table)
        assert ALL in await orgs_in(session, "webhook_stats")


@pytest.mark.usefixtures("ours")
async def test_nobody_reads_the_message_of_a_wait(calling: Caller) -> None:
    """It is not redacted. Only processors read it."""
    for role, column in product(ROLES, ("body", "headers")):
        session = await calling(role, OURS)

        with pytest.raises(REFUSED):
            await session.fetch(f"SELECT {column} FROM webhook_waits")  # ruff: ignore[hardcoded-sql-expression]  # a constant name


@pytest.mark.usefixtures("ours")
async def test_without_an_organisation_there_is_nothing(calling: Caller, database_url: str) -> None:
    """An empty or missing setting matches no organisation, and a malformed one is an error.

    An organisation with the id of the totals would read everyone's statistics.
    """
    for role in TENANTS:
        without_setting = await asyncpg.connect(url_as(database_url, role))
        for session in (await calling(role), without_setting):
            for table in SEEN_BY_TENANTS:
                assert await orgs_in(session, table) == set(), (role, table)
        await without_setting.close()
    for malformed in ("nobody", f"{OURS}x", f"{OURS}' OR true --", "%", " "):
        session = await calling(TENANT, malformed)
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await session.fetch("SELECT FROM webhook_delivery_log")
    for spelled in (str(ALL), str(ALL).upper(), f"{{{ALL}}}"):
        session = await calling(TENANT, spelled)
        assert await orgs_in(session, "webhook_stats") == set()


@pytest.mark.usefixtures("ours", "theirs")
async def test_the_statistics_of_others_are_empty(calling: Caller) -> None:
    """Of the total of all, a tenant sees only its own changes that are not in a bucket yet."""
    session = await calling(TENANT, OURS)

    async def completed(org_id: UUID) -> int:
        rows = await session.fetch(
            "SELECT completed FROM webhook_stats_of($1, date_trunc('hour', now(), 'UTC')"
            " - interval '2 hours', 'infinity')",
            org_id,
        )
        return sum(row["completed"] for row in rows)

    assert [await completed(org_id) for org_id in (OURS, THEIRS, ALL)] == [2, 0, 1]


@pytest.mark.usefixtures("ours")
async def test_the_role_of_the_metrics_service_sees_nothing(database_url: str) -> None:
    """A statement that forgot to become its caller is refused, not answered with everything."""
    session = await asyncpg.connect(url_as(database_url, METRICS))

    for table in EVERY_TABLE:
        with pytest.raises(REFUSED):
            await session.execute(f"SELECT FROM {table}")

    await session.close()


@pytest.mark.usefixtures("ours")
async def test_the_role_of_one_call_is_gone_with_its_transaction(
    calling: Caller, database_url: str
) -> None:
    """The next call on the same connection has neither its rights nor its organisation."""
    session = await calling(TENANT, OURS)
    assert await orgs_in(session, "webhook_delivery_log") == {OURS}

    await session.execute("COMMIT")

    assert await session.fetchval("SELECT current_user") == METRICS
    assert not await session.fetchval("SELECT current_setting('ringback.org_id', true)")
    assert database_url.rsplit("/", 1)[1] == await session.fetchval("SELECT current_database()")
