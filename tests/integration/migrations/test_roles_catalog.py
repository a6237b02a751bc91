"""Rules for all tables and functions, checked in the catalog: future ones must follow them, too."""

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
    PROCESSOR,
    ROLES,
    SERVICE,
    TENANT,
    TENANT_OPERATOR,
)
from tests.support.session_nodes import SessionNodes

# One database for all of them: they read its catalog.
pytestmark = pytest.mark.asyncio(loop_scope="module")

WITH_ORG = {
    *("voice_calls", "webhook_alerts", "webhook_audit", "webhook_console_codes"),
    *("webhook_dead_letter_notices", "webhook_delivery_attempts", "webhook_delivery_log"),
    *("webhook_forward_notices", "webhook_gateway_endpoints", "webhook_gateway_refusals"),
    *("webhook_inbox", "webhook_questions", "webhook_retries", "webhook_retry_runs"),
    *("webhook_stats", "webhook_stats_deltas", "webhook_turns", "webhook_waits"),
}
WITHOUT_ORG = {
    *("schema_migrations", "webhook_alert_lease", "webhook_destinations"),
    *("webhook_extra_partitions", "webhook_failing_forwards", "webhook_gateway_ledger"),
    *("webhook_gateway_rows", "webhook_gateway_rows_deltas", "webhook_gateways"),
    *("webhook_processing", "webhook_processors"),
}
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


#: By role: the tables with some column that it may select, insert or update.
TABLES_OF = {
    PROCESSOR: {
        "voice_calls": "SIU",
        "webhook_dead_letter_notices": "I",
        "webhook_delivery_attempts": "SIU",
        "webhook_delivery_log": "SIU",
        "webhook_destinations": "S",
        "webhook_inbox": "SIU",
        "webhook_processing": "S",
        "webhook_processors": "SIU",
        "webhook_turns": "SIU",
        "webhook_waits": "SIU",
    },
    METRICS: {"webhook_processing": "S", "webhook_processors": "S"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(session_nodes: SessionNodes) -> AsyncIterator[asyncpg.Connection]:
    async with session_nodes.database_url() as url:
        opened = await asyncpg.connect(url, command_timeout=300)
        yield opened
        await opened.close()


async def test_every_table_with_an_org_has_row_level_security(
    connection: asyncpg.Connection,
) -> None:
    """Forced, with a policy for each kind of role. The author of a new table names it here."""
    tables = [row for row in await connection.fetch(TABLES) if not row["relispartition"]]

    assert {row["relname"] for row in tables if row["has_org"]} == WITH_ORG
    assert {row["relname"] for row in tables if not row["has_org"]} == WITHOUT_ORG
    for row in tables:
        if row["has_org"]:
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
    assert functions(GATEWAY) == {
        *("webhook_schema_has", "report_webhook_gateway", "forget_webhook_gateway")
    }
    assert not functions(METRICS, as_owner=False)
    for role in (TENANT, TENANT_OPERATOR, OPERATOR):
        assert not functions(role, as_owner=True)
    assert functions(OPERATOR) == functions(TENANT_OPERATOR) | {
        "set_webhook_destination",
        "set_webhook_processing",
    }
    assert not functions(PROCESSOR) & {
        *("retry_webhook", "discard_webhook", "webhook_stats_of", "fold_webhook_stats"),
        *("lock_webhook_decision", "set_webhook_processing", "enable_webhook_row_security"),
    }


async def test_only_the_processor_s_own_tables_can_be_deleted_from(
    connection: asyncpg.Connection,
) -> None:
    """No other role has DELETE or TRUNCATE on anything, nor the right to give rights."""
    rows = await connection.fetch(
        "SELECT relname, grantee::regrole::text, privilege_type FROM pg_class,"
        " aclexplode(relacl) WHERE relnamespace = 'public'::regnamespace AND grantee <> relowner"
        " AND (is_grantable OR privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE'))"
    )

    assert {tuple(row) for row in rows} == {
        (table, PROCESSOR, "DELETE")
        for table in ("webhook_processors", "webhook_turns", "webhook_waits")
    }


async def test_the_gateway_reads_nothing(connection: asyncpg.Connection) -> None:
    """It reads no table and no column; it fills only columns of a pending row and of the ledger."""
    readable = await connection.fetchval(
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace AND"
        " (has_any_column_privilege($1, oid, 'SELECT') OR has_any_column_privilege($1, oid,"
        " 'UPDATE'))",
        GATEWAY,
    )

    assert readable == 0
    written = await connection.fetch(
        "SELECT relname, array_agg(attname::text) AS columns FROM pg_class JOIN pg_attribute"
        " ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
        " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        " AND has_column_privilege($1, attrelid, attnum, 'INSERT') GROUP BY 1",
        GATEWAY,
    )
    assert {row["relname"]: set(row["columns"]) for row in written} == {
        "webhook_delivery_log": {
            *("call_id", "created_at", "dedup_key", "endpoint_id", "event_data"),
            *("event_type", "gateway_instance_id", "id", "max_attempts"),
            *("org_id", "status"),
        },
        "webhook_gateway_ledger": {"accepted", "gateway_instance_id"},
        "webhook_questions": {
            *("answer", "call_id", "created_at", "dedup_key", "duration_ms", "endpoint_id"),
            *("event_type", "id", "mistakes", "org_id", "outcome", "question"),
            *("status", "trace_id"),
        },
    }


async def test_a_service_reads_and_changes_only_its_tables(connection: asyncpg.Connection) -> None:
    """The processor does not touch what people decide; the metrics service sees no webhook."""
    for role, tables in TABLES_OF.items():
        rows = await connection.fetch(
            "SELECT relname, array_to_string(ARRAY(SELECT left(right_, 1) FROM"
            " unnest('{SELECT,INSERT,UPDATE}'::text[]) AS right_"
            " WHERE has_any_column_privilege($1, oid, right_)), '') AS rights FROM pg_class"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND NOT relispartition",
            role,
        )
        assert {row["relname"]: row["rights"] for row in rows if row["rights"]} == tables, role


async def test_readers_change_nothing_and_operators_cannot_rewrite_history(
    connection: asyncpg.Connection,
) -> None:
    """An operator writes a webhook's resolution, a retry's publish, and the end of a wait."""
    rows = await connection.fetch(
        "SELECT role, relname, array_agg(attname::text ORDER BY attname) AS columns"
        " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0,"
        " unnest($1::text[]) AS role WHERE relkind IN ('r', 'p') AND NOT attisdropped"
        " AND relnamespace = 'public'::regnamespace"
        " AND has_column_privilege(role, attrelid, attnum, 'UPDATE') GROUP BY 1, 2",
        list(CALLERS),
    )

    writable: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        writable.setdefault(row["role"], {})[row["relname"]] = set(row["columns"])
    for_both = {
        "webhook_delivery_log": {"resolution", "resolved_at", "retried_as"},
        "webhook_inbox": {"delivery_id", "claimed_at"},
        "webhook_retries": {"published_at"},
        "webhook_retry_runs": {"state", "message", "allowed_rate", "updated_at", "followed_until"},
        "webhook_waits": {"due_at", "publish_after", "reason", "destination", "cancellation"},
    }
    progress = {"retried", "completed", "failed_again", "skipped", "unfinished", "position"}
    lease = {"ended_at", "lease_owner", "leased_until"}
    assert writable == {
        TENANT_OPERATOR: for_both,
        # The sweeper of retries and the runner of runs are operators, too.
        OPERATOR: for_both
        | {
            "webhook_destinations": {"forced_state", "changed_at", "changed_by", "reason"},
            "webhook_processing": {"paused", "changed_at", "changed_by", "reason"},
            "webhook_retries": {"published_at", "leased_until"},
            "webhook_retry_runs": for_both["webhook_retry_runs"] | progress | lease,
        },
    }


async def test_a_temporary_table_does_not_hide_the_log_from_functions(
    connection: asyncpg.Connection,
) -> None:
    """A temporary table named like the log hides it from its maker, not from the functions."""
    await connection.execute("CREATE TEMP TABLE webhook_delivery_log (status text)")

    counted = await connection.fetchval("SELECT count_unresolved_dead_letters()")

    await connection.execute("DROP TABLE pg_temp.webhook_delivery_log")
    assert counted == 0
