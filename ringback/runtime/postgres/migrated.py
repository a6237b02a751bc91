"""Whether the database is at the version of this code. Every service role may check this."""

from pathlib import Path

import asyncpg

from ringback.runtime.postgres.migrate import MIGRATIONS, migrations_in
from ringback.runtime.postgres.pool import CONNECT_TIMEOUT_S
from ringback.runtime.postgres.queries import load


async def lacks(database_url: str, *, directory: Path = MIGRATIONS) -> str:
    """Explain in a sentence why the database is not usable yet; empty if it is.

    A newer schema is fine: migrations only add what the version before does not need.
    """
    versions = [migration.version for migration in migrations_in(directory)]
    try:
        connection = await asyncpg.connect(
            database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S
        )
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError) as exc:
        return f"The database cannot be reached ({type(exc).__name__})."
    except asyncpg.PostgresError as exc:
        # Before the first migration, the role that a service uses does not exist.
        return f"The database refuses us ({type(exc).__name__})."
    try:
        there = await connection.fetchval(
            load("ringback.runtime.postgres", "schema_has.sql"), versions
        )
    except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
        return f"The database went away ({type(exc).__name__})."
    except asyncpg.PostgresError:
        there = False
    finally:
        connection.terminate()
    return "" if there else f"The database is not at version {versions[-1]} yet."
