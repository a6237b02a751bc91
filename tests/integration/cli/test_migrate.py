from pathlib import Path

from ringback.local.database import PrivateDatabase
from tests.integration.cli.command import ringback


async def test_migrate_says_what_it_applied_and_then_that_nothing_is_left(
    database: PrivateDatabase, tmp_path: Path
) -> None:
    """The first run names each migration; the second changes nothing and says so."""
    await database.create_database("cli_migrate")
    url = database.url("cli_migrate")

    first = await ringback("migrate", cwd=tmp_path, RINGBACK_DATABASE_URL=url)
    second = await ringback("migrate", cwd=tmp_path, RINGBACK_DATABASE_URL=url)
    await database.drop_database("cli_migrate")

    assert first.status == second.status == 0
    assert "Applied 0001_roles.sql" in first.out
    assert second.out == "Nothing to do: the database is up to date.\n"


async def test_a_database_without_tables_is_told_with_the_cure(
    database: PrivateDatabase, tmp_path: Path
) -> None:
    """On a database without tables the sentence names the command that makes them."""
    await database.create_database("cli_empty")
    url = database.url("cli_empty")

    status = await ringback("status", cwd=tmp_path, RINGBACK_DATABASE_URL=url)
    await database.drop_database("cli_empty")

    assert status.status == 1
    assert "Run `ringback migrate`" in status.out
