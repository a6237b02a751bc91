"""Who may connect to a private PostgreSQL, and how."""

import os
import pwd
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from ringback.local.account import Account, make_elsewhere
from ringback.local.node_urls import SUPERUSER, socket_path
from ringback.runtime.postgres.queries import load

CONNECT_S = 5.0
STATEMENT_S = 60.0

# A database that was set to read only can be set back, and no password comes into the log. Ours are
# random, so that hashing them many times would only make each connection slower.
ADMINISTRATION = {
    "default_transaction_read_only": "off",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "scram_iterations": "1",
}


def socket_folder(data_dir: Path, account: Account) -> Path:
    """Make and give the folder for the unix socket."""
    folder = socket_path(data_dir)
    if not folder.is_relative_to(data_dir.resolve()):
        make_elsewhere(data_dir.resolve() / "socket", account)
    account.take(folder)
    return folder


def access_settings(
    data_dir: Path, account: Account, *, superuser_over_tcp: bool
) -> dict[str, str]:
    """Write who may connect, and give the settings that make the server read it.

    By TCP everybody needs a password, and the superuser has no way in, unless it is asked for. By
    the socket the superuser is who runs us. What a cluster was made with does not count.
    """
    ours = pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')
    files = {
        "hba_file": f"""\
local all {SUPERUSER} peer map=ours
local all all scram-sha-256
host all {SUPERUSER} all {"scram-sha-256" if superuser_over_tcp else "reject"}
host all all all scram-sha-256
""",
        "ident_file": f'ours "{ours}" {SUPERUSER}\n',
    }
    paths = {name: data_dir / f"{name.removesuffix('_file')}.conf" for name in files}
    for name, text in files.items():
        paths[name].write_text(text, encoding="utf-8")
        account.admit(paths[name])
    return {name: str(path) for name, path in paths.items()}


@asynccontextmanager
async def administration(data_dir: Path, port: int) -> AsyncGenerator[asyncpg.Connection, None]:
    """A connection of the superuser, by the socket."""
    connection = await asyncpg.connect(
        host=str(socket_path(data_dir)),
        port=port,
        user=SUPERUSER,
        database="postgres",
        timeout=CONNECT_S,
        command_timeout=STATEMENT_S,
        server_settings=ADMINISTRATION,
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S)


async def give_password(
    connection: asyncpg.Connection, login: str, role: str | None, password: str
) -> None:
    """Set a login's password, and make it before, as a member of `role`, if it is not there."""
    for row in await connection.fetch(query("login"), login, role, password):
        await connection.execute(row["statement"])


def query(name: str) -> str:
    return load("ringback.local", f"{name}.sql")
