"""Tests for creating the roles: once per server, by any user and by many migrations at a time."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from ringback.local.database import PrivateDatabase
from ringback.local.ports import SUPERUSER
from ringback.runtime.postgres.migrate import MigrationError, migrate
from tests.integration.migrations.log_calls import (
    End,
    Webhook,
    accept,
    bury,
    clean,
    finish,
    left,
    old_webhooks,
    row_of,
)
from tests.support.database_roles import CALLERS, METRICS, PROCESSOR, ROLES, url_as

KEEPER = "keeper"
Session = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """Opens connections by URL, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def opening(url: str) -> asyncpg.Connection:
            connection = await asyncpg.connect(url, command_timeout=300)
            stack.push_async_callback(connection.close)
            return connection

        yield opening


async def owned_by_keeper(server: PrivateDatabase, session: Session, attributes: str) -> str:
    """A database of a login that is no superuser; its URL."""
    admin = await session(server.url())
    name = f"kept_{uuid.uuid4().hex}"
    password = f"PASSWORD '{server.password}'"
    await admin.execute(f"CREATE ROLE {KEEPER} LOGIN {password} {attributes}")
    await admin.execute(f"CREATE DATABASE {name} OWNER {KEEPER}")
    return server.url(name, KEEPER)


async def test_no_role_can_log_in_or_inherits(database_url: str) -> None:
    """The metrics service is a member of the four roles of its callers."""
    connection = await asyncpg.connect(database_url)

    rows = await connection.fetch(
        "SELECT rolname, rolcanlogin OR rolinherit OR rolsuper OR rolbypassrls OR rolcreaterole"
        " AS is_more, ARRAY(SELECT pg_get_userbyid(roleid) FROM pg_auth_members"
        " WHERE member = pg_roles.oid ORDER BY 1) AS member_of"
        " FROM pg_roles WHERE rolname LIKE 'ringback\\_%'"
    )

    await connection.close()
    assert {row["rolname"]: row["is_more"] for row in rows} == dict.fromkeys(ROLES, False)
    member_of = {row["rolname"]: row["member_of"] for row in rows if row["member_of"]}
    assert member_of == {METRICS: sorted(CALLERS)}


async def test_many_databases_of_one_server_can_be_migrated_at_once(
    own_database: PrivateDatabase, session: Session
) -> None:
    """Another migration may have created the roles, or may be creating them."""
    names = [f"one_of_many_{n}" for n in range(3)]
    for name in names:
        await own_database.create_database(name)

    await asyncio.gather(*(migrate(own_database.url(name)) for name in names))

    admin = await session(own_database.url())
    count = "SELECT count(*) FROM pg_roles WHERE rolname = ANY ($1)"
    assert await admin.fetchval(count, list(ROLES)) == len(ROLES)


async def test_an_owner_who_may_create_roles_needs_no_superuser(
    own_database: PrivateDatabase, session: Session
) -> None:
    """A policy lets the owner do all; its login takes each role, and no role creates tables."""
    url = await owned_by_keeper(own_database, session, "CREATEROLE")

    await migrate(url)

    keeper = await session(url)
    waiting, done = await old_webhooks(keeper, 2)
    today = Webhook()
    await accept(keeper, waiting, today)
    await finish(keeper, End(done), End(today))
    await clean(keeper)
    assert await left(keeper, 40) == (1, 0)
    assert (await row_of(keeper, today))["status"] == "completed"
    assert await keeper.fetchval("SELECT fold_webhook_stats(1000)") > 0
    assert await keeper.fetchval("SELECT count(*) FROM webhook_stats") > 0
    for role in ROLES:
        connection = await session(url_as(url, role))
        assert await connection.fetchval("SELECT current_user") == role
        for statement in ("CREATE TEMP TABLE mine ()", "CREATE TABLE public.mine ()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    processor = await session(url_as(url, PROCESSOR))
    day = datetime.now(UTC).date() + timedelta(days=100)
    assert await processor.fetchval("SELECT ensure_webhook_partitions($1, $1)", day) == 2
    assert await bury(processor, Webhook())


async def test_an_owner_who_may_not_create_roles_uses_existing_ones(
    own_database: PrivateDatabase, session: Session
) -> None:
    """Without them the migration fails with a sentence and changes nothing. Once an administrator
    has created them, it needs no right but on its own database.
    """
    url = await owned_by_keeper(own_database, session, "NOCREATEROLE")
    with pytest.raises(MigrationError, match=r"0001_roles\.sql was refused .* create role"):
        await migrate(url)
    await migrate(own_database.url())

    await migrate(url)

    keeper = await session(url)
    assert await keeper.fetchval(
        "SELECT has_any_column_privilege('ringback_gateway', 'webhook_delivery_log', 'INSERT')"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.execute(f"SET ROLE {PROCESSOR}")


async def test_a_database_of_another_owner_can_be_migrated(
    own_database: PrivateDatabase, session: Session
) -> None:
    """Only what its owner alone may revoke is left to the owner."""
    url = await owned_by_keeper(own_database, session, "CREATEROLE")
    name = url.rsplit("/", 1)[1].split("?")[0]
    admin = await session(own_database.url(name))
    await admin.execute(f"ALTER DATABASE {name} OWNER TO {SUPERUSER}")
    await admin.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    await admin.execute(f"GRANT CONNECT ON DATABASE {name} TO {KEEPER}")
    await admin.execute(f"GRANT CREATE ON SCHEMA public TO {KEEPER}")

    await migrate(url)

    keeper = await session(url)
    await accept(keeper, Webhook())
