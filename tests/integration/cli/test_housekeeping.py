from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from tests.integration.cli.command import ringback
from tests.integration.migrations.log_calls import End, finish, left, old_webhooks
from tests.support.database_roles import GATEWAY, PROCESSOR, url_as


async def test_housekeeping_makes_days_ahead_and_drops_those_behind(
    database_url: str, tmp_path: Path
) -> None:
    """By the processor's role: a finished day beyond the retention goes, a missing day comes."""
    connection = await asyncpg.connect(database_url)
    [gone] = await old_webhooks(connection, 1, age_days=9)
    [kept] = await old_webhooks(connection, 1, age_days=5)
    await finish(connection, End(gone), End(kept))
    ahead = f"{datetime.now(UTC).date() + timedelta(days=5):%Y%m%d}"
    await connection.execute(
        f"DROP TABLE webhook_delivery_log_{ahead}, webhook_delivery_attempts_{ahead}"
    )

    told = await ringback(
        "housekeeping",
        cwd=tmp_path,
        RINGBACK_DATABASE_URL=url_as(database_url, PROCESSOR),
        RINGBACK_RETENTION_DAYS="7",
    )

    assert told.status == 0, told.err
    assert "last 7 days are kept" in told.out.replace("\n", " ")
    assert await left(connection, 9) is None
    assert await left(connection, 5) == (1, 1)
    assert await connection.fetchval("SELECT to_regclass($1)", f"webhook_delivery_log_{ahead}")
    await connection.close()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"RINGBACK_RETENTION_DAYS": "0"}, "RINGBACK_RETENTION_DAYS"),
        ({}, "permission denied"),
    ],
)
async def test_what_cannot_be_done_is_said(
    database_url: str, tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    """A retention of nothing is refused, and so is a role that has no business here."""
    told = await ringback(
        "housekeeping",
        cwd=tmp_path,
        RINGBACK_DATABASE_URL=url_as(database_url, GATEWAY),
        **settings,
    )

    assert told.status != 0
    assert sentence in told.err
