"""Services of this version on a database that a newer one has migrated: the way back."""

import shutil
from pathlib import Path

import asyncpg
import pytest

from ringback.runtime.postgres.migrate import (
    MIGRATIONS,
    MigrationError,
    migrate,
    missing_migrations,
)
from tests.acceptance.whole import demo, whole_ringback

pytestmark = pytest.mark.slow

EXPANDS = """
    SET LOCAL lock_timeout = '4s';
    ALTER TABLE webhook_delivery_log ADD COLUMN newer text;
    ALTER TABLE webhook_delivery_log ADD COLUMN newest int NOT NULL DEFAULT 7;
    ALTER TABLE webhook_delivery_attempts ADD COLUMN newer jsonb;
    ALTER TABLE webhook_gateway_ledger ADD COLUMN newer text;
    ALTER TABLE webhook_retries ADD COLUMN newer text;
    CREATE TABLE newer_table (id uuid PRIMARY KEY);
"""


async def test_services_run_on_the_schema_of_the_next_version(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """What a newer migration adds is in nobody's way. `migrate` of this version refuses."""
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "9999_expand.sql").write_text(EXPANDS, encoding="utf-8")
    connection = await asyncpg.connect(database_url)
    assert await migrate(database_url, directory=newer) == ["9999_expand.sql"]

    async with whole_ringback(amqp_url, database_url, tmp_path) as whole:
        good = await whole.accepted(b'{"message": {"type": "hang", "call": {"id": "c"}}}')
        dead = await whole.accepted(demo(failUntilAttempt=99))
        statuses = await whole.settled([good, dead])

    assert statuses == ["completed", "dead_letter"]
    assert not await missing_migrations(database_url)
    with pytest.raises(MigrationError, match=r"it has migration 9999\. Nothing was changed"):
        await migrate(database_url)
    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 2
    await connection.close()
