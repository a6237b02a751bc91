"""Rules for the catalog, which future tables and functions must follow, too."""

from datetime import UTC, datetime, timedelta

import asyncpg

from tests.integration.migrations.conftest import Connect
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

OF_ORGANISATIONS = {
    "voice_calls",
    "webhook_alerts",
    "webhook_audit",
    "webhook_dead_letter_notices",
    "webhook_delivery_attempts",
    "webhook_delivery_log",
    "webhook_inbox",
    "webhook_retries",
    "webhook_stats",
    "webhook_stats_deltas",
}
OF_NOBODY = {
    "schema_migrations",
    "webhook_alert_lease",
    "webhook_extra_partitions",
    "webhook_gateway_ledger",
    "webhook_gateway_rows",
    "webhook_gateway_rows_deltas",
    "webhook_processing",
    "webhook_processors",
}
TABLES = """
    SELECT relname, relispartition, relrowsecurity AND relforcerowsecurity AS is_closed,
           EXISTS (SELECT FROM pg_attribute
                   WHERE attrelid = c.oid AND attname = 'org_id' AND NOT attisdropped) AS has_org,
           ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) AS policies,
           ARRAY(SELECT DISTINCT grantee::regrole::text FROM aclexplode(relacl)
                 WHERE grantee <> relowner ORDER BY 1) AS grantees
    FROM pg_class AS c
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
"""


async def test_every_table_of_organisations_is_closed_and_shared(
    connection: asyncpg.Connection,
) -> None:
    """Row level security is on and forced, with one policy for each kind of role, and on the log
    one for the gateway. The author of a new table decides here whether it is one of them.
    """
    tables = [row for row in await connection.fetch(TABLES) if not row["relispartition"]]

    assert {row["relname"] for row in tables if row["has_org"]} == OF_ORGANISATIONS
    assert {row["relname"] for row in tables if not row["has_org"]} == OF_NOBODY
    for row in tables:
        if row["has_org"]:
            assert row["is_closed"], row["relname"]
            gateways = ["pending_rows"] if row["relname"] == "webhook_delivery_log" else []
            expected = ["every_row", "own_rows", "owner", *gateways]
            assert row["policies"] == expected, row["relname"]


async def test_every_day_is_closed_to_all_also_one_made_later(
    connection: asyncpg.Connection,
) -> None:
    """No role has grants on a day, and its only policies are for its owner's role."""
    later = datetime.now(UTC).date() + timedelta(days=50)
    await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", later)

    days = [row for row in await connection.fetch(TABLES) if row["relispartition"]]

    assert len(days) >= 2 * 10
    assert f"webhook_delivery_log_{later:%Y%m%d}" in {row["relname"] for row in days}
    for row in days:
        assert (row["is_closed"], row["policies"], row["grantees"]) == (True, ["owner"], [])


async def test_the_owner_s_policy_is_the_owner_s(connection: asyncpg.Connection) -> None:
    """If it named another, a forced policy would shut out the owner who makes and cleans days."""
    strangers = await connection.fetchval(
        "SELECT count(*) FROM pg_policy JOIN pg_class AS c ON c.oid = polrelid"
        " WHERE polname = 'owner' AND polroles <> ARRAY[relowner]"
    )

    assert strangers == 0


async def test_a_tenant_s_policy_holds_for_reading_and_for_writing(
    connection: asyncpg.Connection,
) -> None:
    """They cover all commands, with one condition for reading and writing."""
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


async def test_functions_with_rights_of_their_own_are_pinned_and_not_for_everybody(
    connection: asyncpg.Connection,
) -> None:
    """Otherwise anyone who can create a table could put it where such a function looks for ours."""
    rows = await connection.fetch(
        "SELECT proname, proconfig, prorettype = 'trigger'::regtype AS is_trigger,"
        " has_function_privilege('pg_monitor', oid, 'EXECUTE') AS is_for_everybody"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    )

    assert len(rows) > 8
    for row in rows:
        assert "search_path=public, pg_temp" in row["proconfig"], row["proname"]
        # A trigger's function cannot be called.
        assert row["is_trigger"] or not row["is_for_everybody"], row["proname"]


async def test_no_function_is_for_everybody(connection: asyncpg.Connection) -> None:
    """Anyone may call a new function in PostgreSQL: its migration has to revoke that, and grant it
    to the roles that need it.
    """
    rows = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND has_function_privilege('pg_monitor', oid, 'EXECUTE') ORDER BY 1"
    )

    assert [row["proname"] for row in rows] == []


async def test_who_may_call_what_runs_with_the_rights_of_its_caller(
    connection: asyncpg.Connection,
) -> None:
    """The gateway may call none, nor may the metrics service: it becomes its caller's role."""
    rows = await connection.fetch(
        "SELECT role, array_agg(DISTINCT proname::text) AS functions FROM pg_proc,"
        " unnest($1::text[]) AS role WHERE NOT prosecdef AND pronamespace = 'public'::regnamespace"
        " AND has_function_privilege(role, pg_proc.oid, 'EXECUTE') GROUP BY role",
        list(ROLES),
    )

    allowed = {row["role"]: set(row["functions"]) for row in rows}
    assert allowed.keys() == {PROCESSOR, *CALLERS}
    assert allowed[TENANT] == {
        "matching_dead_letters",
        "webhook_has_payload",
        "webhook_id_at",
        "webhook_org",
        "webhook_stats_of",
    }
    assert allowed[SERVICE] == allowed[TENANT] | {"webhook_partition_days_ahead"}
    assert allowed[OPERATOR] == allowed[TENANT_OPERATOR] | {"set_webhook_processing"}
    assert not allowed[PROCESSOR] & {"retry_webhook", "discard_webhook", "webhook_stats_of"}


async def test_who_may_run_what_has_rights_of_its_own(connection: asyncpg.Connection) -> None:
    """Callers of the metrics service may call none of it; the gateway may ask for the version."""
    rows = await connection.fetch(
        "SELECT role, array_agg(proname::text ORDER BY proname) AS functions"
        " FROM pg_proc, unnest($1::text[]) AS role WHERE prosecdef AND prorettype <>"
        " 'trigger'::regtype AND pronamespace = 'public'::regnamespace"
        " AND has_function_privilege(role, pg_proc.oid, 'EXECUTE') GROUP BY role",
        list(ROLES),
    )

    allowed = {row["role"]: set(row["functions"]) for row in rows}
    assert allowed == {
        GATEWAY: {"webhook_schema_has"},
        PROCESSOR: {
            "delete_finished_webhooks",
            "drop_finished_webhook_partitions",
            "ensure_webhook_partitions_for",
            "ensure_webhook_partitions",
            "prune_webhook_inbox",
            "prune_webhook_ledger",
            "expired_webhook_days",
            "webhook_schema_has",
        },
        METRICS: {
            "count_unresolved_dead_letters",
            "release_webhook_alert_lease",
            "close_webhook_alerts",
            "fold_webhook_dead_letter_notices",
            "fold_webhook_gateway_rows",
            "fold_webhook_stats",
            "prune_webhook_alerts",
            "prune_webhook_retries",
            "prune_webhook_stats",
            "mark_webhook_alerts_sent",
            "acquire_webhook_alert_lease",
            "webhook_schema_has",
        },
        SERVICE: {"webhook_extra_partition_count", "webhook_ledger", "webhook_oldest_ages"},
    }


async def test_only_the_processor_s_own_table_can_be_deleted_from(
    connection: asyncpg.Connection,
) -> None:
    """No other role has DELETE or TRUNCATE on anything, nor the right to give rights."""
    rows = await connection.fetch(
        "SELECT relname, grantee::regrole::text, privilege_type FROM pg_class,"
        " aclexplode(relacl) WHERE relnamespace = 'public'::regnamespace AND grantee <> relowner"
        " AND (is_grantable OR privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE'))"
    )

    assert [tuple(row) for row in rows] == [("webhook_processors", PROCESSOR, "DELETE")]


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
            "altered",
            "call_id",
            "created_at",
            "dedup_key",
            "endpoint_id",
            "event_data",
            "event_type",
            "gateway_instance_id",
            "id",
            "max_attempts",
            "org_id",
            "status",
        },
        "webhook_gateway_ledger": {"accepted", "gateway_instance_id"},
    }


async def test_who_asks_changes_nothing_and_who_changes_cannot_rewrite_history(
    connection: asyncpg.Connection,
) -> None:
    """An operator writes only a webhook's resolution; a retry is marked as published."""
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
    }
    assert writable == {
        TENANT_OPERATOR: for_both,
        OPERATOR: for_both
        | {"webhook_processing": {"paused", "changed_at", "changed_by", "reason"}},
    }


async def test_a_table_made_by_hand_is_not_seen_in_the_place_of_ours(connect: Connect) -> None:
    """A temporary table named like the log hides it from its maker, not from the functions."""
    connection = await connect()
    await connection.execute("CREATE TEMP TABLE webhook_delivery_log (status text)")

    counted = await connection.fetchval("SELECT count_unresolved_dead_letters()")

    assert counted == 0
