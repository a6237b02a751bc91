"""Plain SQL files, applied once each in the order of their names, by one runner at a time."""

import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ringback.runtime.postgres.pool import CONNECT_TIMEOUT_S
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.settings import server_address

MIGRATIONS = Path(__file__).parents[2] / "migrations"

SNAPSHOT_NAME = "schema.sql"
"""The resulting schema, for reading. It is not a migration."""

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_CONNECT_TIMEOUT_S = 10.0


class MigrationError(Exception):
    """The database cannot be migrated to this version; the message explains why."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_in(directory: Path) -> list[Migration]:
    """The files of a directory in order. Raises MigrationError for an invalid name."""
    found = []
    for path in sorted(set(directory.glob("*.sql")) - {directory / SNAPSHOT_NAME}):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_roles.sql.")
        found.append(Migration(match[1], path.name, path.read_text(encoding="utf-8")))
    if not found:
        raise MigrationError(f"There are no migrations in {directory}.")
    versions = [migration.version for migration in found]
    if len(set(versions)) != len(versions):
        raise MigrationError("Two migrations have the same number.")
    return found


async def migrate(database_url: str, *, directory: Path = MIGRATIONS) -> list[str]:
    """Migrate the database to the newest version and return the names of the applied files.

    Each file is one transaction. A second runner waits for the first and then finds nothing to do.
    Raises MigrationError if an applied file has changed since, or if PostgreSQL rejects one.
    """
    migrations = migrations_in(directory)
    async with _locked(database_url) as connection:
        rows = await connection.fetch(load("ringback.runtime.postgres", "applied_migrations.sql"))
        applied = {row["version"]: row["checksum"] for row in rows}
        _verify(migrations, applied)
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in pending:
            await _apply(connection, migration)
    return [migration.name for migration in pending]


def _verify(migrations: list[Migration], applied: dict[str, str]) -> None:
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it was applied to this database, so nothing "
                "was migrated. Restore the file, or use an empty database: a local stack creates "
                "one when .ringback/postgres, with all its webhooks, is deleted."
            )
    known = {migration.version for migration in migrations}
    unknown = sorted(set(applied) - known)
    if unknown:
        raise MigrationError(
            f"The database is newer than this code: it has migration {unknown[-1]}. Nothing was "
            "changed. To go back by one version, start its services on the database as it is."
        )


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                load("ringback.runtime.postgres", "record_migration.sql"),
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as exc:
        raise MigrationError(f"{migration.name} was refused by PostgreSQL: {exc}") from exc


@asynccontextmanager
async def _locked(database_url: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """A connection with the migration lock. The lock ends with the connection in any case."""
    try:
        connection = await asyncpg.connect(database_url, timeout=_CONNECT_TIMEOUT_S)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        raise MigrationError(_unreachable(database_url, exc)) from exc
    try:
        await connection.execute(load("ringback.runtime.postgres", "lock_migrations.sql"))
        await connection.execute(load("ringback.runtime.postgres", "create_migrations_table.sql"))
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)


async def missing_migrations(database_url: str, *, directory: Path = MIGRATIONS) -> str:
    """Explain in a sentence why the database is not usable yet; empty if it is.

    A newer schema is fine: migrations only add what the version before does not need.
    """
    versions = [migration.version for migration in migrations_in(directory)]
    try:
        connection = await asyncpg.connect(
            database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S
        )
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError) as exc:
        return _unreachable(database_url, exc)
    except asyncpg.PostgresError as exc:
        # Before the first migration, the role that a service uses does not exist.
        return f"The database rejected the connection ({type(exc).__name__})."
    try:
        there = await connection.fetchval(
            load("ringback.runtime.postgres", "schema_has.sql"), versions
        )
    except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
        return f"The connection to the database was lost ({type(exc).__name__})."
    except asyncpg.PostgresError:
        there = False
    finally:
        connection.terminate()
    return "" if there else f"The database is not at version {versions[-1]} yet."


def _unreachable(database_url: str, cause: BaseException) -> str:
    where = server_address(database_url)
    return f"The database at {where} cannot be reached ({type(cause).__name__})."
