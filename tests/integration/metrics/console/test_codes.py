"""One-time codes in a real database, which all replicas share."""

import asyncio

import asyncpg
import pytest

from ringback.metrics.v1.admin_service_pb2 import CreateConsoleCodeRequest
from ringback.services.metrics.app import console_codes
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.console.codes import ConsoleCodes
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.transport.errors import ApiError, Reason, cause_of
from tests.integration.metrics.queried_log import OURS, THEIRS, as_org
from tests.support.database_roles import TENANT_OPERATOR, url_as
from tests.support.tokens import CONSOLE_SECRET

SETTINGS = ConsoleSettings.model_validate(
    {"console_secret": CONSOLE_SECRET, "console_url": "https://ops.example:8443/"}
)
REQUEST = CreateConsoleCodeRequest()


@pytest.fixture
def codes(pool: asyncpg.Pool) -> ConsoleCodes:
    return console_codes(SETTINGS, pool, Access(pool))


async def test_a_code_is_its_creator_once(codes: ConsoleCodes, pool: asyncpg.Pool) -> None:
    """Of two replicas that exchange it at the same time, one gets the person."""
    other_replica = console_codes(SETTINGS, pool, Access(pool))
    for call in (as_org(), as_org(OURS)):
        answer = await codes.create_console_code(REQUEST, call)

        used = await asyncio.gather(codes.use(answer.code), other_replica.use(f" {answer.code}\n"))

        assert sorted(map(str, used)) == sorted(map(str, [call.principal, None]))
        assert await codes.use(answer.code) is None
        assert answer.sign_in_url == "https://ops.example:8443/console/sign-in"


async def test_an_expired_code_is_nobody_and_is_deleted(
    codes: ConsoleCodes, log: asyncpg.Connection
) -> None:
    """The next code deletes it; the table has no code, only a hash of it."""
    expired = await codes.create_console_code(REQUEST, as_org(OURS))
    expire = "UPDATE webhook_console_codes SET expires_at = clock_timestamp()"
    await log.execute(expire)

    assert await codes.use(expired.code) is None
    await codes.create_console_code(REQUEST, as_org())

    [row] = await log.fetch("SELECT * FROM webhook_console_codes")
    assert row["role"] == "service"
    assert len(row["code_hash"]) == 32


async def test_a_service_without_a_console_makes_no_codes(pool: asyncpg.Pool) -> None:
    off = console_codes(ConsoleSettings(), pool, Access(pool))

    with pytest.raises(ApiError) as refused:
        await off.create_console_code(REQUEST, as_org())

    assert refused.value.reason is Reason.CONSOLE_OFF


async def test_the_database_lets_a_tenant_make_only_its_own(database_url: str) -> None:
    """Even if the service asked for another with the tenant's rights."""
    session = await asyncpg.connect(url_as(database_url, TENANT_OPERATOR))
    await session.execute("SELECT set_config('ringback.org_id', $1, false)", str(OURS))
    for role, org_id in (("service", None), ("service", OURS), ("tenant", THEIRS)):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)):
            await session.execute(
                "INSERT INTO webhook_console_codes (code_hash, role, org_id, subject)"
                " VALUES ('', $1, $2, 'mallory')",
                role,
                org_id,
            )
    await session.close()


async def test_a_database_that_is_away_is_said(codes: ConsoleCodes, pool: asyncpg.Pool) -> None:
    await pool.close()

    with pytest.raises(ApiError) as refused:
        await codes.use("anything")

    assert refused.value.reason is Reason.DATABASE_UNAVAILABLE


async def test_a_refused_statement_is_no_outage(
    codes: ConsoleCodes, log: asyncpg.Connection
) -> None:
    await log.execute("ALTER TABLE webhook_console_codes RENAME COLUMN subject TO person")

    with pytest.raises(ApiError) as refused:
        await codes.use("anything")

    assert refused.value.reason is Reason.INTERNAL
    assert "42703" in str(cause_of(refused.value))
