"""A private PostgreSQL, for one person's machine or one test session."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import asyncpg

from ringback.local.account import Account, account_in
from ringback.local.child import Child, LocalStackError
from ringback.local.database_files import (
    access_settings,
    administration,
    clear_after_crash,
    create_cluster,
    give_password,
    program,
    query,
    socket_folder,
)
from ringback.local.ports import (
    LOOPBACK,
    SUPERUSER,
    DatabasePorts,
    named_ports,
    require_free,
    superuser_url,
)

POLL_S = 0.05
SETTINGS = {
    "listen_addresses": LOOPBACK,
    # Most of the memory of the whole stack. What a burst of webhooks reads again and does not find
    # here is in the page cache of the system.
    "shared_buffers": "256MB",
    # A burst does not force a checkpoint every few seconds.
    "max_wal_size": "4GB",
    "wal_compression": "on",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For tests that request it: commits survive the server's death, but not the machine's.
FORGETFUL = {"fsync": "off", "full_page_writes": "off", "checkpoint_flush_after": "0"}


@dataclass(slots=True)
class PrivateDatabase:
    """A PostgreSQL server with its own data and port, on loopback only.

    Its data survives `stop`, `kill` and the end of this process. Without `durable`, it does not
    survive a power failure. The superuser logs in by the unix socket, which only this user can
    open. For tests and measurements it can also log in by TCP, with `password`.
    """

    data_dir: Path
    port: int = DatabasePorts().database
    durable: bool = True
    superuser_over_tcp: bool = False
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """The superuser's password over TCP. Tests also use it for the logins that they create."""
    account: Account = field(default_factory=Account, init=False)
    _has_password: bool = field(default=False, init=False)
    _server: Child | None = field(default=None, init=False)

    @property
    def log_path(self) -> Path:
        return self.data_dir / "database.log"

    @property
    def exit_code(self) -> int | None:
        """The server's exit status, or None while it runs or was never started."""
        return self._server.exit_code if self._server else None

    def url(self, database: str = "ringback", user: str = SUPERUSER) -> str:
        """The address of a database, optionally for another user and, for tests, over TCP."""
        if user == SUPERUSER and not self.superuser_over_tcp:
            return superuser_url(self.data_dir, self.port, database)
        return self._tcp_url(database, user, self.password)

    def _tcp_url(self, database: str, user: str, password: str) -> str:
        place = f"{LOOPBACK}:{self.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(user)}:{password}@{place}"

    async def start(self, *, within_s: float = 60) -> None:
        """Start the server, create its files if they are missing, and wait until it answers.

        LocalStackError, with the path of the log, if it ends or is not ready after `within_s`.
        """
        self.data_dir = self.data_dir.resolve()
        self.account = await asyncio.to_thread(account_in, self.data_dir, program("postgres"))
        require_free(named_ports(DatabasePorts(database=self.port)))
        cluster = self.data_dir / "cluster"
        if not cluster.exists():
            await asyncio.to_thread(create_cluster, cluster, self.account, durable=self.durable)
        try:
            await asyncio.to_thread(self.account.take, cluster)
            self._launch(cluster)
            await self._ready(time.monotonic() + within_s)
            if self.superuser_over_tcp and not self._has_password:
                async with self._administration() as connection:
                    await give_password(connection, SUPERUSER, None, self.password)
                self._has_password = True
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, within_s: float = 10) -> bool:
        """Stop the server cleanly, even with clients; True if no force was needed."""
        if self._server is None:
            return True
        try:
            return await self._server.stop(signal.SIGINT, within_s=within_s)
        finally:
            await self.kill()

    async def restart(self) -> None:
        """Stop cleanly and start again on the same port."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """Kill the server, so that it cannot write anything more, as in a power failure."""
        if self._server is None:
            return
        # Each process of PostgreSQL has its own session.
        workers = _children(self._server.pid)
        self._server.send(signal.SIGKILL)
        for pid in workers:
            _kill(pid)
        await self._server.ended(within_s=10)
        self._server = None

    def freeze(self) -> None:
        """Freeze the server, with its connections open and silent, until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        # First the process that starts workers, so that no worker is missed.
        self._server.send(number)
        for pid in _children(self._server.pid):
            _kill(pid, number)

    async def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, empty or as a copy of `template`, which must have no connections."""
        # FILE_COPY needs two checkpoints, which are quick where nothing is synced.
        strategy = "WAL_LOG" if self.durable else "FILE_COPY"
        async with self._administration() as connection:
            statement = await connection.fetchval(
                query("create_database"), name, template, strategy
            )
            await connection.execute(statement)

    async def ensure_database(self, name: str) -> None:
        """Create an empty database, unless there is one with that name."""
        async with self._administration() as connection:
            exists = await connection.fetchval(query("database_exists"), name)
        if not exists:
            await self.create_database(name)

    async def drop_database(self, name: str) -> None:
        """Remove a database and disconnect its clients; a missing one is no error."""
        async with self._administration() as connection:
            statement = await connection.fetchval(query("drop_database"), name)
            await connection.execute(statement)

    async def service_urls(
        self, names: Iterable[str], database: str = "ringback"
    ) -> dict[str, str]:
        """Create a login for each service, which may only use its role; return the URLs by name.

        The migrations must have created the roles. The passwords are new each time.
        """
        urls = {}
        async with self._administration() as connection:
            for name in names:
                login, role = f"webhooks_{name}", f"ringback_{name}"
                password = secrets.token_hex(16)
                await give_password(connection, login, role, password)
                urls[name] = f"{self._tcp_url(database, login, password)}?role={role}"
        return urls

    def _administration(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return administration(self.data_dir, self.port)

    def _launch(self, cluster: Path) -> None:
        sockets = socket_folder(self.data_dir, self.account)
        clear_after_crash(cluster, sockets, self.port)
        settings = SETTINGS | access_settings(
            self.data_dir, self.account, superuser_over_tcp=self.superuser_over_tcp
        )
        # The setting is a list, so the path is quoted in case it contains a comma.
        quoted = str(sockets).replace('"', '""')
        settings |= {"unix_socket_directories": f'"{quoted}"', "port": str(self.port)}
        if not self.durable:
            settings |= FORGETFUL
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._server = Child.spawn(
            "PostgreSQL",
            [program("postgres"), "-D", str(cluster), *flags],
            become=self.account.command_prefix(),
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


def _children(pid: int) -> list[int]:
    """List the children of `pid`, if the system reports them; elsewhere they end automatically."""
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
