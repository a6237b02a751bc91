"""The cost of row level security: a tenant reads by its index and by days, others as before."""

import re
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.integration.migrations.log_calls import ORG
from tests.support.database_roles import OPERATOR, PROCESSOR, SERVICE, TENANT, TENANT_OPERATOR

NEWEST = "SELECT * FROM webhook_delivery_log ORDER BY id DESC LIMIT 20"
COUNT = "SELECT count(*) FROM webhook_delivery_log WHERE event_type = 'hang'"
OF_AN_HOUR = (
    "SELECT * FROM webhook_delivery_log WHERE created_at > now() - interval '1 hour'"
    " AND id >= webhook_id_at('{first}') AND id < webhook_id_at('{last}')"
)
DEAD = (
    "SELECT * FROM webhook_delivery_log WHERE error_class IS NOT NULL AND resolution IS NULL"
    " AND status = 'dead_letter' ORDER BY id DESC LIMIT 20"
)
FINISHING = (
    "UPDATE webhook_delivery_log SET status = 'completed'"
    " WHERE id = ANY ('{0198a000-0000-7000-8000-000000000001}')"
)


async def plan(connection: asyncpg.Connection, role: str, statement: str) -> str:
    """The plan, as a role. No sequential scan: empty tables are read whole otherwise."""
    async with connection.transaction():
        await connection.execute(
            f"SET LOCAL enable_seqscan = off; SET LOCAL ringback.org_id = '{ORG}';"
            f"SET LOCAL ROLE {role}"
        )
        rows = await connection.fetch(f"EXPLAIN (VERBOSE, COSTS OFF) {statement}")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("role", [TENANT, TENANT_OPERATOR])
async def test_a_tenant_reads_its_part_of_the_index(
    connection: asyncpg.Connection, role: str
) -> None:
    """Each day is read from the organisation's place in the index, newest first, without a sort."""
    explained = await plan(connection, role, NEWEST)

    assert "Sort" not in explained
    scans = re.findall(r"Index Scan Backward using webhook_delivery_log_\d{8}_org_id", explained)
    conditions = re.findall(r"Index Cond: \(\w+\.org_id = \(InitPlan 1\)\.col1\)", explained)
    assert len(scans) == len(conditions) == 9


@pytest.mark.parametrize("statement", [NEWEST, DEAD, COUNT])
async def test_the_organisation_is_found_once(
    connection: asyncpg.Connection, statement: str
) -> None:
    """It runs once per statement, not for each row."""
    explained = await plan(connection, TENANT, statement)

    assert explained.count("current_setting") == 1


async def test_a_tenant_s_range_of_time_reads_its_days(connection: asyncpg.Connection) -> None:
    """The condition on the organisation does not prevent pruning."""
    noon = datetime.now(UTC).replace(hour=12)
    statement = OF_AN_HOUR.format(first=noon, last=noon + timedelta(hours=1))

    explained = await plan(connection, TENANT, statement)

    days = set(re.findall(r"webhook_delivery_log_(\d{8})\b", explained))
    assert days == {f"{noon:%Y%m%d}"}


@pytest.mark.parametrize("role", [PROCESSOR, SERVICE, OPERATOR])
@pytest.mark.parametrize("statement", [NEWEST, DEAD, FINISHING])
async def test_who_may_see_all_pays_nothing(
    connection: asyncpg.Connection, role: str, statement: str
) -> None:
    """Its plans are those of a superuser, to whom no policy applies."""
    unbound = await plan(connection, "postgres", statement)
    if statement == FINISHING:
        await connection.execute(f"GRANT UPDATE ON webhook_delivery_log TO {SERVICE}, {OPERATOR}")

    assert await plan(connection, role, statement) == unbound
