"""The services' own statements, run as the services' roles: all rights they need, no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path

import asyncpg
import pytest

from tests.support.database_roles import GATEWAY, PROCESSOR, url_as

As = Callable[[str], Awaitable[asyncpg.Connection]]
REFUSED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def connect_as(database_url: str) -> AsyncIterator[As]:
    """Opens sessions of a role, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def opening(role: str) -> asyncpg.Connection:
            connection = await asyncpg.connect(url_as(database_url, role), command_timeout=300)
            stack.push_async_callback(connection.close)
            return connection

        yield opening


async def test_the_gateway_inserts_only_pending_rows(
    connect_as: As, connection: asyncpg.Connection
) -> None:
    """It cannot set a state that belongs to a processor or a person."""
    gateway = await connect_as(GATEWAY)
    insert = (
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data,"
        " status, max_attempts, created_at) SELECT uuidv7(), uuidv7(), 'default', 'hang', '{}',"
        " $1, 4, now() ON CONFLICT DO NOTHING"
    )
    await gateway.execute(insert, "pending")

    for status in ("completed", "processing", "failed", "dead_letter", "duplicate"):
        with pytest.raises(REFUSED):
            await gateway.execute(insert, status)

    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 1


#: The statements of the services for PostgreSQL; those of the spool are for SQLite.
STATEMENTS = {
    service: [
        path.read_text(encoding="utf-8")
        for path in Path(str(files(f"ringback.services.{service}"))).rglob("*.sql")
        if "spool" not in path.parts
    ]
    for service in ("gateway", "processor")
}


@pytest.mark.parametrize(("role", "service"), [(GATEWAY, "gateway"), (PROCESSOR, "processor")])
async def test_a_service_may_run_each_of_its_statements(
    connect_as: As, role: str, service: str
) -> None:
    """This includes statements written in the future."""
    connection = await connect_as(role)
    assert STATEMENTS[service]
    for statement in STATEMENTS[service]:
        # A script of several statements sets and resets what needs no right.
        if "\nCALL " not in statement and statement.count(";") < 2:
            # EXPLAIN needs the same rights as running the statement.
            await connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")
