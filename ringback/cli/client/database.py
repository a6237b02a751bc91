"""Connects commands to PostgreSQL, and reports its errors as CommandError."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from ringback.cli.terminal import CommandError
from ringback.runtime.process.settings import server_address

_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 30.0


@asynccontextmanager
async def database(database_url: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """Connect to PostgreSQL. Its errors inside the context become CommandError."""
    where = server_address(database_url)
    try:
        connection = await asyncpg.connect(
            database_url,
            timeout=_CONNECT_TIMEOUT_S,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings={"application_name": "ringback-cli"},
        )
    except (OSError, TimeoutError) as exc:
        raise CommandError(f"The database at {where} cannot be reached.") from exc
    except asyncpg.PostgresError as exc:
        raise CommandError(f"The database at {where} rejected the connection: {exc}.") from exc
    try:
        yield connection
    except asyncpg.UndefinedTableError as exc:
        raise CommandError(
            f"The database at {where} has no tables yet. Run `ringback migrate`."
        ) from exc
    except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
        raise CommandError(f"The database at {where} closed the connection. Try again.") from exc
    except asyncpg.PostgresError as exc:
        raise CommandError(f"The database at {where} rejected the statement: {exc}.") from exc
    finally:
        connection.terminate()
