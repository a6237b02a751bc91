"""What starts beside the job that migrates and declares waits for it."""

from pathlib import Path

import pytest

from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from tests.integration.cli.command import begin, ended, ringback
from tests.support.database_roles import GATEWAY, METRICS, PROCESSOR, url_as


@pytest.mark.parametrize("role", [GATEWAY, PROCESSOR, METRICS])
async def test_any_service_sees_that_the_database_is_migrated(
    database_url: str, tmp_path: Path, role: str
) -> None:
    """By the rights of its own role, which may not read what was applied."""
    told = await ringback(
        *("migrate", "wait", "--within", "0"),
        cwd=tmp_path,
        RINGBACK_DATABASE_URL=url_as(database_url, role),
    )

    assert (told.status, told.out) == (0, "The database is up to date.\n")


async def test_a_database_that_is_not_migrated_in_time_is_told(
    database: PrivateDatabase, tmp_path: Path
) -> None:
    """With nothing applied the wait ends with 1 and a sentence; nothing was changed by it."""
    await database.create_database("cli_not_migrated")
    url = database.url("cli_not_migrated")

    told = await ringback(
        "migrate", "wait", "--within", "0", cwd=tmp_path, RINGBACK_DATABASE_URL=url
    )
    migrated = await ringback("migrate", cwd=tmp_path, RINGBACK_DATABASE_URL=url)

    await database.drop_database("cli_not_migrated")
    assert told.status == 1
    assert "is not at version" in told.err
    assert "Applied 0001_roles.sql" in migrated.out


async def test_the_wait_ends_when_the_database_is_migrated(
    database: PrivateDatabase, tmp_path: Path
) -> None:
    """It says once for what it waits, and goes on as soon as another process has migrated."""
    await database.create_database("cli_migrated_later")
    url = database.url("cli_migrated_later")
    waiting = await begin(
        *("migrate", "wait", "--within", "60"), cwd=tmp_path, RINGBACK_DATABASE_URL=url
    )
    assert waiting.stderr is not None
    told = await waiting.stderr.readline()

    await ringback("migrate", cwd=tmp_path, RINGBACK_DATABASE_URL=url)
    end = await ended(waiting)

    await database.drop_database("cli_migrated_later")
    assert b"Waiting ..." in told
    assert (end.status, end.err) == (0, "")


async def test_a_service_waits_for_the_whole_topology(amqp_url: str, tmp_path: Path) -> None:
    """Each queue that is lacking is named; once it is applied nobody waits."""
    settings = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_RETRY_SCHEDULE": "1s"}
    wait = ("topology", "wait", "--within", "0")

    before = await ringback(*wait, "processor", cwd=tmp_path, **settings)
    await ringback("topology", "apply", cwd=tmp_path, **settings)
    after = await ringback(*wait, "processor", cwd=tmp_path, **settings)
    longer = await ringback(
        *wait, "metrics", cwd=tmp_path, **(settings | {"RINGBACK_RETRY_SCHEDULE": "1s,9s"})
    )

    assert before.status == longer.status == 1
    assert "The queue webhooks.retry.1.1s does not exist." in before.err
    assert "The queue webhooks.retry.2.9s does not exist." in longer.err
    assert (after.status, after.out) == (0, "The processor can start.\n")


async def test_the_gateway_waits_only_for_what_it_publishes_to(
    amqp_url: str, tmp_path: Path
) -> None:
    """It accepts whatever the retry schedule is, but not where webhooks would find no queue."""
    settings = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_RETRY_SCHEDULE": "1s"}
    wait = ("topology", "wait", "gateway", "--within", "0")

    before = await ringback(*wait, cwd=tmp_path, **settings)
    await ringback("topology", "apply", cwd=tmp_path, **settings)
    after = await ringback(*wait, cwd=tmp_path, **(settings | {"RINGBACK_RETRY_SCHEDULE": "1s,9s"}))

    assert before.status == 1
    assert "The exchange webhooks does not exist." in before.err
    assert after.status == 0


async def test_a_broker_that_is_away_keeps_no_gateway_from_starting(tmp_path: Path) -> None:
    """The gateway has its spool for that; the others could do nothing and wait."""
    url = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"
    wait = ("topology", "wait", "--within", "0")

    gateway = await ringback(*wait, "gateway", cwd=tmp_path, RINGBACK_AMQP_URL=url)
    processor = await ringback(*wait, "processor", cwd=tmp_path, RINGBACK_AMQP_URL=url)

    assert gateway.status == 0
    assert processor.status == 1
    assert "The broker cannot be reached" in processor.err
