"""Tests for making roles: once per server, whoever migrates and however many at a time."""

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
from tests.integration.migrations.log_calls import End, Webhook, accept, bury, finish, row_of
from tests.integration.migrations.test_cleanup import left, old_webhooks
from tests.support.database_roles import CALLERS, METRICS, PROCESSOR, ROLES, url_as

KEEPER = "keeper"
Session = Callable[..., Awaitable[asyncpg.Connection]]


@pytest.fixture
async def session() -> AsyncIterator[Session]:
    """Opens connections by URL, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def opening(url: str) -> asyncpg.Connection:
            connection = await asyncpg.connect(url, command_timeout=30)
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


async def test_each_role_is_there_and_nobody_can_log_in_as_one(database_url: str) -> None:
    """None inherits, and the metrics service is a member of the four roles of its callers."""
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


async def test_many_databases_of_one_server_are_migrated_at_once(
    own_database: PrivateDatabase, session: Session
) -> None:
    """Roles belong to the server: a migration may find them there, or being made."""
    names = [f"one_of_many_{n}" for n in range(6)]
    for name in names:
        await own_database.create_database(name)

    await asyncio.gather(*(migrate(own_database.url(name)) for name in names))

    admin = await session(own_database.url())
    count = "SELECT count(*) FROM pg_roles WHERE rolname = ANY ($1)"
    assert await admin.fetchval(count, list(ROLES)) == len(ROLES)


async def test_an_owner_who_may_make_roles_keeps_house(
    own_database: PrivateDatabase, session: Session
) -> None:
    """Row level security applies to the owner of the tables, too, so a policy lets it work: it
    inserts webhooks, finishes them, makes days, counts, and cleans.
    """
    url = await owned_by_keeper(own_database, session, "CREATEROLE")

    await migrate(url)

    keeper = await session(url)
    waiting, done = await old_webhooks(keeper, 2)
    [gone] = await old_webhooks(keeper, 1, age_days=41)
    today = Webhook()
    await accept(keeper, waiting, today)
    await finish(keeper, End(done), End(gone), End(today))
    await keeper.execute("CALL cleanup_old_webhook_logs()")
    assert await left(keeper, 40) == (1, 0)
    assert await left(keeper, 41) is None
    assert (await row_of(keeper, today))["status"] == "completed"
    assert await keeper.fetchval("SELECT fold_webhook_stats(1000)") > 0
    assert await keeper.fetchval("SELECT count(*) FROM webhook_stats") > 0


async def test_an_owner_becomes_each_role_that_it_made(
    own_database: PrivateDatabase, session: Session
) -> None:
    """One login is enough for all services; each becomes its role by its URL."""
    url = await owned_by_keeper(own_database, session, "CREATEROLE")
    await migrate(url)

    for role in ROLES:
        connection = await session(url_as(url, role))

        assert await connection.fetchval("SELECT current_user") == role

    processor = await session(url_as(url, PROCESSOR))
    day = datetime.now(UTC).date() + timedelta(days=100)
    assert await processor.fetchval("SELECT ensure_webhook_partitions($1, $1)", day) == 2
    dead = Webhook()
    await finish(processor, End(dead, "permanent", 1, ("E", "e")))
    assert await bury(processor, dead, attempt=1)


async def test_an_owner_without_the_right_uses_the_roles_that_are_there(
    own_database: PrivateDatabase, session: Session
) -> None:
    """An administrator has made them; the migration needs no more than its own database."""
    await migrate(own_database.url())
    url = await owned_by_keeper(own_database, session, "NOCREATEROLE")

    await migrate(url)

    keeper = await session(url)
    assert await keeper.fetchval(
        "SELECT has_any_column_privilege('ringback_gateway', 'webhook_delivery_log', 'INSERT')"
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await keeper.execute(f"SET ROLE {PROCESSOR}")


async def test_no_role_makes_tables_also_temporary_ones(
    own_database: PrivateDatabase, session: Session
) -> None:
    """A temporary table would hide ours from its session, or fill the disk."""
    url = await owned_by_keeper(own_database, session, "CREATEROLE")
    await migrate(url)

    for role in ROLES:
        connection = await session(url_as(url, role))
        for statement in ("CREATE TEMP TABLE mine ()", "CREATE TABLE public.mine ()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_a_database_of_another_owner_can_be_migrated(
    own_database: PrivateDatabase, session: Session
) -> None:
    """What only its owner may revoke is left to the owner; all else is as it should be."""
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


async def test_an_owner_without_the_right_needs_the_roles(
    own_database: PrivateDatabase, session: Session
) -> None:
    """If they are missing and may not be made, the migration fails clearly and changes nothing."""
    url = await owned_by_keeper(own_database, session, "NOCREATEROLE")

    with pytest.raises(MigrationError, match=r"0001_roles\.sql was refused .* create role"):
        await migrate(url)
