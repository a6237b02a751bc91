"""A tenant can change nothing of another in the database, tried with the real roles."""

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from tests.integration.metrics.two_orgs import (
    ALL,
    OURS,
    THEIRS,
    Caller,
    Letters,
    calling,
    connection,
    discard,
    ours,
    retry,
    run_duplicate,
    theirs,
)
from tests.support.database_roles import OPERATOR, SERVICE, TENANT, TENANT_OPERATOR

__all__ = ["calling", "connection", "ours", "theirs"]  # fixtures

REFUSED = asyncpg.InsufficientPrivilegeError
WRITTEN_BY_TENANTS = {
    "webhook_delivery_log": """
        INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,
            max_attempts, created_at)
        VALUES ('NEW_ID', $1, 'default', 'hang', '{}', 'pending', 4,
            now())""",
    "webhook_inbox": "INSERT INTO webhook_inbox VALUES ($1, 'k', gen_random_uuid())",
    "webhook_retries": """
        INSERT INTO webhook_retries
            (original, new_id, org_id, received_at, actor, role, reason)
        VALUES (gen_random_uuid(), gen_random_uuid(), $1, now(), 'ada', 'tenant', 'Mine.')""",
    "webhook_audit": """
        INSERT INTO webhook_audit (actor, role, org_id, action)
        VALUES ('ada', 'tenant', $1, 'discard')""",
}


async def test_another_orgs_dead_letter_looks_absent(
    calling: Caller, connection: asyncpg.Connection, ours: Letters, theirs: Letters
) -> None:
    """Resolving it answers as for an unknown id; the tenant's own can be resolved."""
    session = await calling(TENANT_OPERATOR, OURS)
    theirs_before = await connection.fetch(
        "SELECT log::text FROM webhook_delivery_log AS log WHERE org_id = $1 ORDER BY id", THEIRS
    )

    assert await retry(session, theirs.dead) == await retry(session, new_job_id()) == "not_found"
    assert await discard(session, theirs.dead) == "not_found"
    assert await run_duplicate(session, theirs.copy) == "not_found"
    assert await run_duplicate(session, ours.copy) == "retried"
    assert await retry(session, ours.dead) == "retried"
    await session.execute("COMMIT")

    assert theirs_before == await connection.fetch(
        "SELECT log::text FROM webhook_delivery_log AS log WHERE org_id = $1 ORDER BY id", THEIRS
    )
    audited = "SELECT count(*) FROM webhook_audit WHERE job_id = $1"
    assert await connection.fetchval(audited, ours.dead) == 1


async def test_an_operator_decides_for_all_orgs(
    calling: Caller, ours: Letters, theirs: Letters
) -> None:
    """And may pause, which no tenant may."""
    session = await calling(OPERATOR)

    assert await retry(session, ours.dead) == "retried"
    assert await discard(session, theirs.dead) == "done"
    await session.execute("SELECT set_webhook_processing(true, 'ada', 'service', 'Deploying.')")


@pytest.mark.parametrize("role", [TENANT, SERVICE, TENANT_OPERATOR])
async def test_only_operators_pause(calling: Caller, role: str) -> None:
    """A pause concerns all organisations."""
    session = await calling(role, OURS)

    with pytest.raises(REFUSED):
        await session.execute("SELECT set_webhook_processing(true, 'ada', 'tenant', 'Mine.')")


@pytest.mark.parametrize("role", [TENANT, SERVICE])
async def test_a_reader_role_cannot_change_anything(
    calling: Caller, ours: Letters, role: str
) -> None:
    """Not even its own rows."""
    session = await calling(role, OURS)

    with pytest.raises(REFUSED):
        await discard(session, ours.dead)


@pytest.mark.parametrize("role", [TENANT, SERVICE])
async def test_a_reader_role_cannot_run_a_duplicate(
    calling: Caller, ours: Letters, role: str
) -> None:
    """That is a change, too."""
    session = await calling(role, OURS)

    with pytest.raises(REFUSED):
        await run_duplicate(session, ours.copy)


@pytest.mark.parametrize("table", WRITTEN_BY_TENANTS)
async def test_a_tenant_cannot_write_for_another_org(calling: Caller, table: str) -> None:
    """Nor in rows without an organisation."""
    statement = WRITTEN_BY_TENANTS[table].replace("NEW_ID", str(new_job_id()))
    for org_id in (THEIRS, ALL):
        session = await calling(TENANT_OPERATOR, OURS)

        with pytest.raises(REFUSED, match="row-level security"):
            await session.execute(statement, org_id)

    session = await calling(TENANT_OPERATOR, OURS)
    await session.execute(statement, OURS)


async def test_a_tenant_cannot_audit_for_all_orgs(calling: Caller) -> None:
    """A line without an organisation is about everybody."""
    session = await calling(TENANT_OPERATOR, OURS)

    with pytest.raises(REFUSED, match="row-level security"):
        await session.execute(
            "INSERT INTO webhook_audit (actor, role, action) VALUES ('ada', 'tenant', 'pause')"
        )


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE webhook_delivery_log SET resolution = 'discarded', resolved_at = now()",
        "UPDATE webhook_inbox SET delivery_id = gen_random_uuid()",
        "UPDATE webhook_retries SET published_at = now()",
    ],
)
async def test_a_tenants_update_of_everything_changes_nothing_of_another(
    calling: Caller, statement: str
) -> None:
    """What it cannot see it cannot change, either."""
    session = await calling(TENANT_OPERATOR, OURS)

    assert await session.execute(statement) == "UPDATE 0"


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize("role", [TENANT_OPERATOR, OPERATOR])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE webhook_delivery_log SET org_id = gen_random_uuid()",
        "UPDATE webhook_delivery_log SET status = 'completed'",
        "UPDATE webhook_delivery_log SET event_data = '{}'",
        "UPDATE webhook_delivery_attempts SET outcome = 'completed'",
        "UPDATE webhook_audit SET actor = 'eve'",
        "UPDATE webhook_stats SET completed = 0",
        "DELETE FROM webhook_audit",
        "DELETE FROM webhook_delivery_log",
        "DELETE FROM webhook_retries",
        "TRUNCATE webhook_audit",
    ],
)
async def test_the_log_and_the_audit_cannot_be_changed(
    calling: Caller, role: str, statement: str
) -> None:
    """A role that may resolve a dead letter may not change the log or the audit."""
    session = await calling(role, OURS)

    with pytest.raises(REFUSED):
        await session.execute(statement)
