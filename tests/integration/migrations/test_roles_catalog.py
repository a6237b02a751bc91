"""Rules for all tables and functions, checked in the catalog: future ones must follow them, too.

Each single right is in ringback/migrations/schema.sql (test_schema_snapshot.py).
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from tests.support.database_roles import (
    CALLERS,
    GATEWAY,
    METRICS,
    OPERATOR,
    ROLES,
    SERVICE,
    TENANT,
    TENANT_OPERATOR,
)
from tests.support.session_nodes import SessionNodes

# One database for all of them: they read its catalog.
pytestmark = pytest.mark.asyncio(loop_scope="module")

_INSERTED_BY_THE_GATEWAY = {
    "webhook_delivery_log": ["pending_rows"],
    "webhook_questions": ["answered_questions"],
}
"""The policies for it."""

TABLES = """
    SELECT relname, relispartition, relrowsecurity AND relforcerowsecurity AS has_rls,
           EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = c.oid AND attname = 'org_id' AND NOT attisdropped) AS has_org,
           ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) AS policies,
           ARRAY(SELECT DISTINCT grantee::regrole::text FROM aclexplode(relacl)
                 WHERE grantee <> relowner ORDER BY 1) AS grantees
    FROM pg_class AS c
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(session_nodes: SessionNodes) -> AsyncIterator[asyncpg.Connection]:
    async with session_nodes.database_url() as url:
        opened = await asyncpg.connect(url, command_timeout=300)
        yield opened
        await opened.close()


async def test_every_table_with_an_org_has_row_level_security(
    connection: asyncpg.Connection,
) -> None:
    """Forced, with a policy for each kind of role."""
    tables = [row for row in await connection.fetch(TABLES) if not row["relispartition"]]
    with_org = [row for row in tables if row["has_org"]]

    assert len(with_org) > 15
    for row in with_org:
        assert row["has_rls"], row["relname"]
        gateways = _INSERTED_BY_THE_GATEWAY.get(row["relname"], [])
        expected = sorted(["every_row", "own_rows", "owner", *gateways])
        assert row["policies"] == expected, row["relname"]
    others = await connection.fetchval(
        "SELECT count(*) FROM pg_policy JOIN pg_class AS c ON c.oid = polrelid"
        " WHERE polname = 'owner' AND polroles <> ARRAY[relowner]"
    )
    assert others == 0


async def test_nobody_has_grants_on_a_partition(connection: asyncpg.Connection) -> None:
    """The only policy of a day is for its owner, also of one created later or as an extra day."""
    later = datetime.now(UTC).date() + timedelta(days=50)
    await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", later)
    await connection.execute("SELECT ensure_webhook_partitions_for($1)", [later + timedelta(1)])

    days = [row for row in await connection.fetch(TABLES) if row["relispartition"]]

    assert len(days) >= 2 * 11
    assert f"webhook_delivery_log_{later:%Y%m%d}" in {row["relname"] for row in days}
    for row in days:
        assert (row["has_rls"], row["policies"], row["grantees"]) == (True, ["owner"], [])


async def test_the_policy_of_tenants_covers_reading_and_writing(
    connection: asyncpg.Connection,
) -> None:
    """It covers all commands, with one condition for both."""
    rows = await connection.fetch(
        "SELECT DISTINCT polcmd, polpermissive, pg_get_expr(polqual, polrelid) AS condition,"
        " polwithcheck IS NULL AS checks_the_same,"
        " ARRAY(SELECT unnest(polroles)::regrole::text ORDER BY 1) AS roles"
        " FROM pg_policy WHERE polname = 'own_rows'"
    )

    assert [tuple(row) for row in rows] == [
        (
            b"*",
            True,
            "(org_id = ( SELECT webhook_org() AS webhook_org))",
            True,
            [TENANT, TENANT_OPERATOR],
        )
    ]


async def test_functions_with_their_owner_s_rights_have_a_fixed_search_path(
    connection: asyncpg.Connection,
) -> None:
    """Otherwise anyone who can create a table could put it where such a function looks for one."""
    rows = await connection.fetch(
        "SELECT proname, proconfig"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    )

    assert len(rows) > 8
    for row in rows:
        assert "search_path=public, pg_temp" in row["proconfig"], row["proname"]


async def test_no_function_is_callable_by_public(connection: asyncpg.Connection) -> None:
    """Anyone may call a new function in PostgreSQL: its migration has to revoke that."""
    rows = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND has_function_privilege('pg_monitor', oid, 'EXECUTE') ORDER BY 1"
    )

    assert [row["proname"] for row in rows] == []


async def test_each_role_may_call_only_what_it_needs(connection: asyncpg.Connection) -> None:
    """Readers change nothing; the metrics service calls its callers' functions in their role."""
    rows = await connection.fetch(
        "SELECT role, proname, provolatile = 'v' AS may_change, prosecdef AS as_owner"
        " FROM pg_proc, unnest($1::text[]) AS role WHERE pronamespace = 'public'::regnamespace"
        " AND prorettype <> 'trigger'::regtype"
        " AND has_function_privilege(role, pg_proc.oid, 'EXECUTE')",
        list(ROLES),
    )

    def functions(role: str, *, as_owner: bool | None = None) -> set[str]:
        return {
            row["proname"]
            for row in rows
            if row["role"] == role and as_owner in {None, row["as_owner"]}
        }

    assert not [row for row in rows if row["role"] in {TENANT, SERVICE} and row["may_change"]]
    assert not functions(METRICS, as_owner=False)
    for role in (TENANT, TENANT_OPERATOR, OPERATOR):
        assert not functions(role, as_owner=True)


async def test_the_gateway_reads_nothing(connection: asyncpg.Connection) -> None:
    """No table and no column; nor does it update one."""
    readable = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace AND"
        " (has_any_column_privilege($1, oid, 'SELECT') OR has_any_column_privilege($1, oid,"
        " 'UPDATE'))",
        GATEWAY,
    )

    assert readable == 0


async def test_readers_change_nothing(connection: asyncpg.Connection) -> None:
    """Of the callers only the operators have a right to change a row."""
    rows = await connection.fetch(
        "SELECT DISTINCT role FROM pg_class, unnest($1::text[]) AS role,"
        " unnest('{INSERT,UPDATE}'::text[]) AS right_ WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace"
        " AND has_any_column_privilege(role, oid, right_)",
        list(CALLERS),
    )

    assert {row["role"] for row in rows} == {TENANT_OPERATOR, OPERATOR}


async def test_a_temporary_table_does_not_hide_the_log_from_functions(
    connection: asyncpg.Connection,
) -> None:
    """A temporary table named like the log hides it from its maker, not from the functions."""
    await connection.execute("CREATE TEMP TABLE webhook_delivery_log (status text)")

    counted = await connection.fetchval("SELECT count_unresolved_dead_letters()")

    await connection.execute("DROP TABLE pg_temp.webhook_delivery_log")
    assert counted == 0
