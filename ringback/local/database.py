"""A private PostgreSQL, for one person's machine or one test session."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg

from ringback.local.child import Child
from ringback.local.database_files import (
    Account,
    clear_after_crash,
    create_cluster,
    database_account,
    program,
    socket_folder,
)
from ringback.local.errors import LocalStackError
from ringback.local.ports import LOOPBACK, DatabasePorts, named_ports, require_free
from ringback.runtime.queries import load

POLL_S = 0.05
CONNECT_S = 5.0
STATEMENT_S = 60.0
SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": LOOPBACK,
    # A burst of webhooks fits, so that finishing it does not read it back from the disk; and its
    # log does not force a checkpoint every few seconds.
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests that ask for it: commits outlive the server's death, but not the machine's.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


@dataclass(slots=True)
class PrivateDatabase:
    """A PostgreSQL server with data and port of its own, on loopback only, without passwords.

    What it stores survives `stop`, `kill` and our death. With `durable` off, the power must stay.
    """

    data_dir: Path
    port: int = DatabasePorts().database
    durable: bool = True
    _server: Child | None = field(default=None, init=False)

    @property
    def log_path(self) -> Path:
        return self.data_dir / "database.log"

    @property
    def exit_code(self) -> int | None:
        """What the server ended with, or None while it runs or was never started."""
        return self._server.exit_code if self._server else None

    def url(self, database: str = "ringback", user: str = SUPERUSER) -> str:
        return f"postgresql://{quote(user)}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    async def start(self, *, within_s: float = 60) -> None:
        """Start the server, make its files if they are not there, wait until it takes queries.

        LocalStackError, with the path of the log, if it ends or is not ready after `within_s`.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = self.data_dir.resolve()
        account = database_account()
        require_free(named_ports(DatabasePorts(database=self.port)))
        cluster = self.data_dir / "cluster"
        if not cluster.exists():
            await asyncio.to_thread(
                create_cluster, cluster, account, superuser=SUPERUSER, durable=self.durable
            )
        try:
            self._launch(account, cluster)
            await self._ready(time.monotonic() + within_s)
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, within_s: float = 10) -> bool:
        """End the server, clients or not, in good order; True if no force was needed."""
        if self._server is None:
            return True
        try:
            return await self._server.stop(signal.SIGINT, within_s=within_s)
        finally:
            await self.kill()

    async def restart(self) -> None:
        """Stop in good order and start again on the same port."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """End the server as a power cut would: at once, without a chance to write anything."""
        if self._server is None:
            return
        # PostgreSQL gives every one of its processes a session of its own.
        workers = _children(self._server.pid)
        self._server.send(signal.SIGKILL)
        for pid in workers:
            _kill(pid)
        await self._server.ended(within_s=10)
        self._server = None

    def freeze(self) -> None:
        """Let the server stand still, its connections open and silent, until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        # First the one that starts workers, so that none is missed.
        self._server.send(number)
        for pid in _children(self._server.pid):
            _kill(pid, number)

    async def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database, empty or as a copy of `template`, to which nobody may be connected."""
        async with self._administration() as connection:
            statement = await connection.fetchval(_query("create_database"), name, template)
            await connection.execute(statement)

    async def ensure_database(self, name: str) -> None:
        """Make an empty database unless one of that name is there."""
        async with self._administration() as connection:
            exists = await connection.fetchval(_query("database_exists"), name)
        if not exists:
            await self.create_database(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database and cut off whoever is connected; a missing one is no error."""
        async with self._administration() as connection:
            statement = await connection.fetchval(_query("drop_database"), name)
            await connection.execute(statement)

    @asynccontextmanager
    async def _administration(self) -> AsyncGenerator[asyncpg.Connection, None]:
        connection = await asyncpg.connect(
            self.url("postgres"), timeout=CONNECT_S, command_timeout=STATEMENT_S
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=CONNECT_S)

    def _launch(self, account: Account, cluster: Path) -> None:
        sockets = socket_folder(self.data_dir, account)
        clear_after_crash(cluster, sockets, self.port)
        settings = SETTINGS | {"unix_socket_directories": str(sockets), "port": str(self.port)}
        if not self.durable:
            settings |= FORGETFUL
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = Child.spawn(
            "PostgreSQL",
            [program("postgres"), "-D", str(cluster), *flags],
            become=account.command_prefix(),
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
            log_path=self.log_path,
            cwd=Path("/"),
            # Ends its workers too and takes no time; the next start recovers from the log.
            orphan_signal=signal.SIGQUIT,
        )

    async def _ready(self, deadline: float) -> None:
        assert self._server is not None
        while not await self._answers():
            if self._server.exit_code is not None:
                raise LocalStackError(f"PostgreSQL did not start; its log is {self.log_path}.")
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"PostgreSQL started but does not answer; its log is {self.log_path}."
                )
            await asyncio.sleep(POLL_S)

    async def _answers(self) -> bool:
        try:
            async with self._administration():
                return True
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False


def _query(name: str) -> str:
    return load("ringback.local", f"{name}.sql")


def _children(pid: int) -> list[int]:
    """List what `pid` started, where the system tells; elsewhere those end by themselves."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
