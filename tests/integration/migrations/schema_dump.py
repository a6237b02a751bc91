"""The schema that the migrations make, as text: run me to renew ringback/migrations/schema.sql.

.venv/bin/python -m tests.integration.migrations.schema_dump
"""

import asyncio
import re
import tempfile
from pathlib import Path

import asyncpg

from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program
from ringback.local.ports import free_ports
from ringback.runtime.postgres.migrate import MIGRATIONS, SNAPSHOT_NAME, migrate

SNAPSHOT = MIGRATIONS / SNAPSHOT_NAME

_HEADER = """-- The schema after the last migration, for reading and for reviewing changes of it.
-- Nothing is built from this file; ringback/migrations/README.md says how to renew it.

"""
_ROLES = """
    SELECT format('CREATE ROLE %I %s %s;', rolname,
                  CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
                  CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END) AS statement
    FROM pg_roles WHERE rolname LIKE 'ringback\\_%'
    UNION ALL
    SELECT format('GRANT %I TO %I;', roleid::regrole, member::regrole)
    FROM pg_auth_members WHERE member::regrole::text LIKE 'ringback\\_%'
    ORDER BY statement
"""
_DAY = re.compile(r"_[0-9]{8}\b")
# What the server compresses with depends on how it was built.
_NOISE = re.compile(
    r"^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict "
    r"|ALTER TABLE ONLY \S+ ALTER COLUMN (event_data|body) SET )"
)


async def dump(database_url: str) -> str:
    """The roles, and the objects of a migrated database with their policies and grants.

    Without those of single days, and in a stable order.
    """
    process = await asyncio.create_subprocess_exec(
        program("pg_dump"),
        "--schema-only",
        "--no-owner",
        "--exclude-table=*_20[0-9][0-9][0-9][0-9][0-9][0-9]",
        "--exclude-table=schema_migrations",
        database_url,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return _HEADER + await _roles(database_url) + _normalised(out.decode())


async def _roles(database_url: str) -> str:
    """Our roles, which belong to the server and are in no database's dump."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(_ROLES)
    await connection.close()
    return "\n".join(row["statement"] for row in rows) + "\n\n"


def _normalised(dumped: str) -> str:
    """Without comments and settings, which contain versions and the names of the machine."""
    lines = [line for line in dumped.splitlines() if not _NOISE.match(line)]
    kept = "\n".join(lines)
    assert not _DAY.search(kept)
    return re.sub(r"\n{3,}", "\n\n", kept).strip() + "\n"


async def renew() -> None:
    """Migrate our own empty database and write its schema to the file."""
    with tempfile.TemporaryDirectory(prefix="ringback-schema-") as folder:
        database = PrivateDatabase(Path(folder) / "database", free_ports(1)[0], durable=False)
        await database.start()
        try:
            await database.ensure_database("ringback")
            await migrate(database.url())
            SNAPSHOT.write_text(await dump(database.url()), encoding="utf-8")
        finally:
            await database.kill()


if __name__ == "__main__":
    asyncio.run(renew())
