"""A tenant sees nothing of another in the database, tried with the real roles."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from tests.integration.metrics.two_orgs import (
    ALL,
    OURS,
    THEIRS,
    Caller,
    calling,
    connection,
    ours,
    theirs,
)
from tests.support.database_roles import (
    CALLERS,
    METRICS,
    OPERATOR,
    SERVICE,
    TENANT,
    TENANT_OPERATOR,
    url_as,
)

__all__ = ["calling", "connection", "ours", "theirs"]  # fixtures

REFUSED = asyncpg.InsufficientPrivilegeError
TENANTS = (TENANT, TENANT_OPERATOR)
SEEN_BY_TENANTS = (
    "webhook_delivery_log",
    "webhook_delivery_attempts",
    "webhook_retries",
    "webhook_audit",
    "webhook_stats",
    "webhook_stats_deltas",
)
EVERY_TABLE = (*SEEN_BY_TENANTS, "webhook_inbox", "voice_calls")
TODAY = f"{datetime.now(UTC):%Y%m%d}"


async def orgs_in(session: asyncpg.Connection, table: str) -> set[UUID]:
    rows = await session.fetch(f"SELECT DISTINCT org_id FROM {table}")  # ruff: ignore[hardcoded-sql-expression]  # a constant name
    return {row["org_id"] for row in rows}


@pytest.mark.parametrize("role", TENANTS)
@pytest.mark.usefixtures("ours", "theirs")
async def test_a_tenant_sees_its_own_and_nothing_else(calling: Caller, role: str) -> None:
    """In every table that it may read, with a query without a condition."""
    for org_id in (OURS, THEIRS):
        session = await calling(role, org_id)

        for table in SEEN_BY_TENANTS:
            assert await orgs_in(session, table) == {org_id}, table


@pytest.mark.usefixtures("ours", "theirs")
@pytest.mark.parametrize("role", [SERVICE, OPERATOR])
async def test_a_service_sees_all(calling: Caller, role: str) -> None:
    """Also the total that the statistics keep."""
    session = await calling(role)

    for table in SEEN_BY_TENANTS:
        assert await orgs_in(session, table) - {ALL} == {OURS, THEIRS}, table
    assert ALL in await orgs_in(session, "webhook_stats")


@pytest.mark.usefixtures("ours", "theirs")
async def test_a_grant_by_mistake_shows_nothing_of_others(connection: asyncpg.Connection) -> None:
    """With rights on everything, a tenant sees its own rows, and nothing in a day itself."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {TENANT}; SET LOCAL ROLE {TENANT};"
        f"SET LOCAL ringback.org_id = '{OURS}'"
    )

    for table in EVERY_TABLE:
        assert await orgs_in(connection, table) == {OURS}, table
    for parent in ("webhook_delivery_log", "webhook_delivery_attempts"):
        assert await orgs_in(connection, f"{parent}_{TODAY}") == set()
    await transaction.rollback()


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("role", CALLERS)
@pytest.mark.parametrize("parent", ["webhook_delivery_log", "webhook_delivery_attempts"])
async def test_no_caller_reads_a_partition_directly(
    calling: Caller, role: str, parent: str
) -> None:
    """The policies of the log do not apply when a query names its days."""
    session = await calling(role, OURS)

    with pytest.raises(REFUSED, match="permission denied"):
        await session.fetch(f"SELECT FROM {parent}_{TODAY}")


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("role", TENANTS)
async def test_without_an_organisation_there_is_nothing(calling: Caller, role: str) -> None:
    """An empty or missing setting matches no organisation."""
    session = await calling(role)

    assert [await orgs_in(session, table) for table in SEEN_BY_TENANTS] == [set()] * 6


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("role", TENANTS)
async def test_a_session_without_an_org_sees_nothing(database_url: str, role: str) -> None:
    """A session without an organisation sees nothing."""
    session = await asyncpg.connect(url_as(database_url, role))

    seen = [await orgs_in(session, table) for table in SEEN_BY_TENANTS]

    await session.close()
    assert seen == [set()] * 6


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("malformed", ["nobody", f"{OURS}x", f"{OURS}' OR true --", "%", " "])
async def test_a_malformed_organisation_is_an_error(calling: Caller, malformed: str) -> None:
    """It never falls back to seeing more."""
    session = await calling(TENANT, malformed)

    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await session.fetch("SELECT FROM webhook_delivery_log")


@pytest.mark.usefixtures("ours")
async def test_the_id_of_the_totals_is_not_an_org(calling: Caller) -> None:
    """An organisation with its id would read everyone's statistics."""
    for spelled in (str(ALL), str(ALL).upper(), f"{{{ALL}}}"):
        session = await calling(TENANT, spelled)

        assert await orgs_in(session, "webhook_stats") == set()


@pytest.mark.usefixtures("ours", "theirs")
async def test_the_statistics_of_others_are_empty(calling: Caller) -> None:
    """The function runs with the caller's rights.

    A caller that queries the total of all organisations sees only its own changes that are not in a
    bucket yet.
    """
    session = await calling(TENANT, OURS)

    async def asked(org_id: UUID) -> int:
        rows = await session.fetch(
            "SELECT completed FROM webhook_stats_of($1, date_trunc('hour', now(), 'UTC')"
            " - interval '2 hours', 'infinity')",
            org_id,
        )
        return sum(row["completed"] for row in rows)

    assert (await asked(OURS), await asked(THEIRS), await asked(ALL)) == (2, 0, 1)


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("table", EVERY_TABLE)
async def test_the_role_of_the_metrics_service_sees_nothing(database_url: str, table: str) -> None:
    """A statement that forgot to become its caller is refused, not answered with everything."""
    session = await asyncpg.connect(url_as(database_url, METRICS))

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
