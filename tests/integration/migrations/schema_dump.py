"""The schema that the migrations make, as text: run me to renew migrations/schema.sql.

.venv/bin/python -m tests.integration.migrations.schema_dump
"""

import asyncio
import re
import tempfile
from pathlib import Path

from ringback.local.database import PrivateDatabase
from ringback.local.database_files import program
from ringback.local.ports import free_ports
from ringback.runtime.migrate import MIGRATIONS, SNAPSHOT_NAME, migrate

SNAPSHOT = MIGRATIONS / SNAPSHOT_NAME

_HEADER = """-- The schema after the last migration, for reading and for reviewing changes of it.
-- Nothing is built from this file; migrations/README.md says how to renew it.

"""
_DAY = re.compile(r"_[0-9]{8}\b")
_NOISE = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config|\\(un)?restrict )")


async def dump(database_url: str) -> str:
    """The objects of a migrated database, without those of single days, and in a stable order."""
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
    return _HEADER + _normalised(out.decode())


def _normalised(dumped: str) -> str:
    """Without comments and settings, which hold versions and the names of the machine."""
    lines = [line for line in dumped.splitlines() if not _NOISE.match(line)]
    kept = "\n".join(lines)
    assert not _DAY.search(kept)
    return re.sub(r"\n{3,}", "\n\n", kept).strip() + "\n"


async def renew() -> None:
    """Migrate an empty database of our own and write its schema down."""
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
