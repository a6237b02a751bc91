"""The file ringback/migrations/schema.sql shows what the migrations make."""

from tests.integration.migrations.schema_dump import SNAPSHOT, dump


async def test_the_snapshot_is_what_the_migrations_make(database_url: str) -> None:
    """Renew it with `.venv/bin/python -m tests.integration.migrations.schema_dump`."""
    made = await dump(database_url)

    assert made == SNAPSHOT.read_text(encoding="utf-8")
