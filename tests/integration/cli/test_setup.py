"""`ringback migrate`, `housekeeping` and `topology`: prepare a database and a broker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import orjson
import pytest

from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from tests.integration.cli.command import begin, ended, ringback
from tests.integration.migrations.log_calls import End, finish, left, old_webhooks
from tests.support.database_roles import GATEWAY, METRICS, PROCESSOR, url_as


@pytest.mark.slow
async def test_migrate_lists_migrations_and_ends_a_wait(
    database: PrivateDatabase, tmp_path: Path
) -> None:
    """A second run changes nothing; `wait` prints once what is missing."""
    await database.create_database("cli_migrate")
    settings = {"RINGBACK_DATABASE_URL": database.url("cli_migrate")}

    status = await ringback("status", cwd=tmp_path, **settings)
    late = await ringback("migrate", "wait", "--within", "0", cwd=tmp_path, **settings)
    waiting = await begin("migrate", "wait", "--within", "600", cwd=tmp_path, **settings)
    assert waiting.stderr is not None
    printed = await waiting.stderr.readline()
    first = await ringback("migrate", cwd=tmp_path, **settings)
    second = await ringback("migrate", cwd=tmp_path, **settings)
    waited = await ended(waiting)
    await database.drop_database("cli_migrate")

    assert status.status == late.status == 1
    assert "Run `ringback migrate`" in status.out
    assert "is not at version" in late.err
    assert b"Waiting ..." in printed
    assert (waited.status, waited.err) == (0, "")
    assert first.status == second.status == 0
    assert "Applied 0001_" in first.out
    assert second.out == "Nothing to do: the database is up to date.\n"


async def test_every_service_role_may_wait_for_migrations(
    database_url: str, tmp_path: Path
) -> None:
    """Also those that may not read the list of migrations."""
    wait = ("migrate", "wait", "--within", "0")
    for role in (GATEWAY, PROCESSOR, METRICS):
        url = url_as(database_url, role)
        done = await ringback(*wait, cwd=tmp_path, RINGBACK_DATABASE_URL=url)

        assert (done.status, done.out) == (0, "The database is up to date.\n"), role


async def test_housekeeping_creates_and_drops_partitions(database_url: str, tmp_path: Path) -> None:
    """With the processor's role: an expired day is dropped, a missing day is created."""
    connection = await asyncpg.connect(database_url)
    [expired] = await old_webhooks(connection, 1, age_days=9)
    [kept] = await old_webhooks(connection, 1, age_days=5)
    await finish(connection, End(expired), End(kept))
    ahead = f"{datetime.now(UTC).date() + timedelta(days=5):%Y%m%d}"
    await connection.execute(
        f"DROP TABLE webhook_delivery_log_{ahead}, webhook_delivery_attempts_{ahead}"
    )

    done = await ringback(
        "housekeeping",
        cwd=tmp_path,
        RINGBACK_DATABASE_URL=url_as(database_url, PROCESSOR),
        RINGBACK_RETENTION_DAYS="7",
    )

    assert done.status == 0, done.err
    assert "7 days" in done.out
    assert await left(connection, 9) is None
    assert await left(connection, 5) == (1, 1)
    assert await connection.fetchval("SELECT to_regclass($1)", f"webhook_delivery_log_{ahead}")
    await connection.close()


async def test_housekeeping_names_what_is_wrong(database_url: str, tmp_path: Path) -> None:
    """A role without the permission, or a retention of 0 days."""
    settings = {"RINGBACK_DATABASE_URL": url_as(database_url, GATEWAY)}
    too_short = settings | {"RINGBACK_RETENTION_DAYS": "0"}
    for given, sentence in ((settings, "permission denied"), (too_short, "RETENTION_DAYS")):
        done = await ringback("housekeeping", cwd=tmp_path, **given)

        assert done.status != 0
        assert sentence in done.err


async def test_topology_apply_check_and_wait(amqp_url: str, tmp_path: Path) -> None:
    """`check` and `wait` name what is missing; the gateway needs no retry queues."""
    settings = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_RETRY_SCHEDULE": "1s,5s"}
    other = settings | {"RINGBACK_RETRY_SCHEDULE": "1s,9s"}

    async def wait(service: str, settings: dict[str, str]) -> tuple[int, str]:
        done = await ringback(
            "topology", "wait", service, "--within", "0", cwd=tmp_path, **settings
        )
        return done.status, done.out + done.err

    missing = await ringback("topology", "check", cwd=tmp_path, **settings)
    before = [await wait(service, settings) for service in ("processor", "gateway")]
    applied = await ringback("topology", "apply", cwd=tmp_path, **settings)
    complete = await ringback("topology", "check", cwd=tmp_path, **settings)
    different = await ringback("topology", "check", "--json", cwd=tmp_path, **other)
    after = await wait("processor", settings)
    longer = [await wait(service, other) for service in ("metrics", "gateway")]

    assert missing.status == 1
    assert "The queue webhooks.retry.2.5s does not exist." in missing.out
    assert "`ringback topology apply` declares what is missing." in missing.out
    assert [status for status, _ in before] == [1, 1]
    assert "The queue webhooks.retry.2.5s does not exist." in before[0][1]
    assert "The exchange webhooks does not exist." in before[1][1]
    assert applied.status == complete.status == 0
    assert "Attempts per webhook: 3" in applied.out
    assert "The topology is complete." in complete.out
    document = orjson.loads(different.out)
    assert (different.status, document["retrySchedule"]) == (1, "1s,9s")
    assert "The queue webhooks.retry.2.9s does not exist." in document["differences"]
    assert after == (0, "The processor can start.\n")
    assert [status for status, _ in longer] == [1, 0]
    assert "The queue webhooks.retry.2.9s does not exist." in longer[0][1]


@pytest.mark.parametrize(("service", "status"), [("gateway", 0), ("processor", 1)])
async def test_only_the_gateway_starts_without_a_broker(
    tmp_path: Path, service: str, status: int
) -> None:
    """It has its spool; the others wait."""
    url = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"

    done = await ringback(
        "topology", "wait", service, "--within", "0", cwd=tmp_path, RINGBACK_AMQP_URL=url
    )

    assert done.status == status
    assert ("cannot be reached" in done.err) == (status == 1)
