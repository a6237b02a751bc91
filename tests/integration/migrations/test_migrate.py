"""Tests for ringback.runtime.postgres.migrate, on databases that are empty at first."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ringback.local.database import PrivateDatabase
from ringback.runtime.postgres.migrate import MIGRATIONS, MigrationError, migrate, migrations_in

NAMES = sorted(path.name for path in MIGRATIONS.glob("0*.sql"))


@pytest.fixture
async def empty_url(database: PrivateDatabase) -> AsyncIterator[str]:
    name = f"empty_{uuid.uuid4().hex}"
    await database.create_database(name)
    yield database.url(name)
    await database.drop_database(name)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder with two small migrations."""
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first ();", encoding="utf-8")
    (tmp_path / "0002_second.sql").write_text("CREATE TABLE second ();", encoding="utf-8")
    return tmp_path


async def tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relname IN ('first', 'second')"
    )
    await connection.close()
    return sorted(row["relname"] for row in rows)


async def test_simultaneous_runs_apply_each_file_once(empty_url: str) -> None:
    """The jobs of several deployments wait for each other; later ones find nothing to do."""
    applied = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))

    assert sorted(applied) == [[], [], NAMES]
    assert await migrate(empty_url) == []


async def test_only_new_files_are_applied(empty_url: str, directory: Path) -> None:
    """Applied migrations are skipped; only new ones run."""
    await migrate(empty_url, directory=directory)
    (directory / "0003_third.sql").write_text("CREATE TABLE third ();", encoding="utf-8")

    assert await migrate(empty_url, directory=directory) == ["0003_third.sql"]


async def test_a_changed_file_is_rejected(empty_url: str, directory: Path) -> None:
    """It would never reach this database; a newer migration beside it does not hide that."""
    await migrate(empty_url, directory=directory)
    (directory / "0002_second.sql").unlink()
    (directory / "0001_first.sql").write_text("CREATE TABLE first (n int);", encoding="utf-8")

    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed .* Restore the file"):
        await migrate(empty_url, directory=directory)


async def test_a_newer_database_is_rejected(empty_url: str, directory: Path) -> None:
    """Old code does not work on an unknown schema."""
    await migrate(empty_url, directory=directory)
    (directory / "0002_second.sql").unlink()

    with pytest.raises(MigrationError, match="newer than this code: it has migration 0002"):
        await migrate(empty_url, directory=directory)


async def test_a_failed_file_changes_nothing(empty_url: str, directory: Path) -> None:
    """The migrations before it stay; once it is fixed, the run continues from there."""
    second = directory / "0002_second.sql"
    second.write_text("CREATE TABLE second (); SELECT 1/0;", encoding="utf-8")

    with pytest.raises(MigrationError, match=r"0002_second\.sql was refused .* division by zero"):
        await migrate(empty_url, directory=directory)

    assert await tables(empty_url) == ["first"]
    second.write_text("CREATE TABLE second ();", encoding="utf-8")
    assert await migrate(empty_url, directory=directory) == ["0002_second.sql"]


@pytest.mark.parametrize(
    ("names", "error"),
    [
        *(
            ([name], "is not named like")
            for name in (
                "1_first.sql",
                "0001-first.sql",
                "0001_First.sql",
                "first.sql",
                "0001_.sql",
            )
        ),
        (["0001_first.sql", "0001_other.sql"], "same number"),
        ([], "There are no migrations"),
    ],
)
def test_an_invalid_folder_is_rejected(tmp_path: Path, names: list[str], error: str) -> None:
    """Files would be applied in an unintended order, or not at all."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1", encoding="utf-8")

    with pytest.raises(MigrationError, match=error):
        migrations_in(tmp_path)


def test_each_migration_has_its_number_and_a_lock_timeout() -> None:
    """A migration that waits for a lock makes everybody else wait behind it."""
    migrations = migrations_in(MIGRATIONS)

    versions = [migration.version for migration in migrations]
    assert versions == sorted(set(versions))
    assert all(len(version) == len("0001") for version in versions)
    for migration in migrations:
        assert "SET LOCAL lock_timeout" in migration.sql, migration.name


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/nothing",
        "postgresql://nobody@127.0.0.1:port/nothing",
        "http://127.0.0.1/",
    ],
)
async def test_an_unreachable_database_is_reported(url: str) -> None:
    """The same happens if its address is invalid."""
    with pytest.raises(MigrationError, match=r"cannot be reached \(\w+\)\.$"):
        await migrate(url)
