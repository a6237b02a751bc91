"""Connects commands to PostgreSQL, and turns its errors into sentences."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from ringback.cli.terminal import CommandError

_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 30.0


@asynccontextmanager
async def database(database_url: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """A connection that is closed with the context.

    Any PostgreSQL error inside the context becomes a CommandError.
    """
    where = _where(database_url)
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
        raise CommandError(f"The database at {where} refuses us: {exc}.") from exc
    try:
        yield connection
    except asyncpg.UndefinedTableError as exc:
        raise CommandError(
            f"The database at {where} has no tables yet: run `ringback migrate`."
        ) from exc
    except (OSError, TimeoutError, asyncpg.InterfaceError) as exc:
        raise CommandError(f"The database at {where} went away.") from exc
    except asyncpg.PostgresError as exc:
        raise CommandError(f"The database at {where} refused: {exc}.") from exc
    finally:
        connection.terminate()


def _where(database_url: str) -> str:
    """Host or socket, port and name of a database: the parts of its URL that may be shown."""
    parts = urlsplit(database_url)
    query = dict(parse_qsl(parts.query))
    host = parts.hostname or query.get("host", "localhost")
    return f"{host}:{parts.port or query.get('port', 5432)}{parts.path}"
