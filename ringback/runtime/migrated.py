"""Whether the database is at the version of this code. Any role of a service may ask."""

from pathlib import Path

import asyncpg

from ringback.runtime.migrate import MIGRATIONS, migrations_in
from ringback.runtime.postgres import CONNECT_TIMEOUT_S
from ringback.runtime.queries import load


async def lacks(database_url: str, *, directory: Path = MIGRATIONS) -> str:
    """Say in a sentence why the database cannot be used yet; empty when it can.

    One that is newer is good, too: migrations only add what the version before does not need.
    """
    versions = [migration.version for migration in migrations_in(directory)]
    try:
        connection = await asyncpg.connect(
            database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S
        )
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError) as exc:
        return f"The database cannot be reached ({type(exc).__name__})."
    except asyncpg.PostgresError as exc:
        # Before the first migration there is no role that a service could become.
        return f"The database refuses us ({type(exc).__name__})."
    try:
        there = await connection.fetchval(load("ringback.runtime", "schema_has.sql"), versions)
    except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
        return f"The database went away ({type(exc).__name__})."
    except asyncpg.PostgresError:
        there = False
    finally:
        connection.terminate()
    return "" if there else f"The database is not at version {versions[-1]} yet."
