"""The RabbitMQ and PostgreSQL nodes of a test session."""

import asyncio
import shutil
import tempfile
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import asyncpg

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.account import make_private
from ringback.local.broker import PrivateBroker
from ringback.local.child import LocalStackError
from ringback.local.database import PrivateDatabase
from ringback.local.ports import LOOPBACK, BrokerPorts, free_ports, named_ports
from ringback.runtime.amqp import topology
from tests.support.eventually import PATIENCE_S
from tests.support.loop_thread import LoopThread

Node = TypeVar("Node", bound=PrivateBroker | PrivateDatabase)

TEMPLATE = "ringback_template"

QUICK_FIGURES = "collect_statistics_interval = 500\n"
"""Tests query the management API while they wait for its figures."""

PREPARED_AHEAD = 2
_ROOM_BYTES = 8 * 1024**3

# Which fixtures need which node: what a session needs is started together at the first need.
BROKER_FIXTURES = frozenset({"broker", "amqp_url"})
DATABASE_FIXTURES = frozenset({"database", "database_url"})

_RESET_ERRORS = (LocalStackError, asyncpg.PostgresError, OSError, TimeoutError)


def new_broker(data_dir: Path) -> PrivateBroker:
    """Return a broker on free ports, not yet started."""
    names = named_ports(BrokerPorts())
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return PrivateBroker(data_dir, BrokerPorts(**ports), QUICK_FIGURES)


def new_database(data_dir: Path) -> PrivateDatabase:
    """Return a database on a free port, not yet started.

    It is not durable: no test cuts the power, and many create and drop databases.
    """
    return PrivateDatabase(data_dir, free_ports(1)[0], durable=False, superuser_over_tcp=True)


class Pool:
    """Names of virtual hosts or databases, which it creates in the background before their use."""

    def __init__(self, thread: LoopThread, create: Callable[[str], Awaitable[None]]) -> None:
        self._thread = thread
        self._create = create
        self._prepared: deque[Future[str]] = deque()

    async def take(self) -> str:
        while len(self._prepared) <= PREPARED_AHEAD:
            self._prepared.append(self._thread.submit(self._new()))
        return await asyncio.wrap_future(self._prepared.popleft())

    async def _new(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        await self._create(name)
        return name


class Lendable(Generic[Node]):
    """A node for tests that stop or kill it. After each test it is reset, or else replaced."""

    def __init__(
        self,
        thread: LoopThread,
        start: Callable[[], Coroutine[Any, Any, Node]],
        reset: Callable[[Node], Awaitable[None]],
    ) -> None:
        self._thread = thread
        self._start = start
        self._reset = reset
        self._ready: Future[Node] | None = None

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Node, None]:
        """Give the node, running and empty, to one test."""
        if self._ready is None:
            self._ready = self._thread.submit(self._start())
        node = await asyncio.wrap_future(self._ready)
        try:
            yield node
        finally:
            self._ready = self._thread.submit(self._renewed(node))

    async def _renewed(self, node: Node) -> Node:
        with suppress(*_RESET_ERRORS):
            await self._reset(node)
            return node
        await node.kill()
        return await self._start()

    async def kill(self) -> None:
        """End the node, if a test has used it."""
        if self._ready is not None:
            await (await asyncio.wrap_future(self._ready)).kill()


class SessionNodes:
    """Starts each node when it is first needed, the other beside it if the session needs both."""

    def __init__(self, fixture_names: Iterable[str]) -> None:
        self._wanted = frozenset(fixture_names)
        self._folder = Path(tempfile.mkdtemp(prefix="ringback-tests-", dir=_memory()))
        make_private(self._folder)
        self._thread = LoopThread()
        self._broker: Future[PrivateBroker] | None = None
        self._database: Future[PrivateDatabase] | None = None
        self._vhosts: dict[str, Pool] = {}
        self._databases = Pool(self._thread, self._create_database)
        self.own_broker = Lendable(self._thread, self._start_own_broker, _run_again)
        self.own_database = Lendable(self._thread, self._start_own_database, _empty_database)

    def broker(self) -> PrivateBroker:
        self._start(broker=True, database=bool(self._wanted & DATABASE_FIXTURES))
        assert self._broker is not None
        return self._broker.result()

    def database(self) -> PrivateDatabase:
        """Return the database server, on which the database `TEMPLATE` is migrated."""
        self._start(broker=bool(self._wanted & BROKER_FIXTURES), database=True)
        assert self._database is not None
        return self._database.result()

    @asynccontextmanager
    async def amqp_url(self, schedule: str = "") -> AsyncGenerator[str, None]:
        """A virtual host, empty or with the topology of a retry schedule."""
        broker = self.broker()
        pool = self._vhosts.setdefault(
            schedule, Pool(self._thread, lambda name: self._create_vhost(name, schedule))
        )
        name = await pool.take()
        try:
            yield broker.amqp_url(name)
        finally:
            self._thread.submit(broker.delete_vhost(name))

    @asynccontextmanager
    async def database_url(self) -> AsyncGenerator[str, None]:
        """A migrated database without rows; its user is the superuser."""
        database = self.database()
        name = await self._databases.take()
        try:
            yield database.url(name)
        finally:
            self._thread.submit(database.drop_database(name))

    @asynccontextmanager
    async def place(self, schedule: str = "") -> AsyncGenerator[tuple[str, str], None]:
        """The addresses of a new virtual host and of a new database."""
        async with self.amqp_url(schedule) as amqp_url, self.database_url() as database_url:
            yield amqp_url, database_url

    def close(self) -> None:
        """End what was started, by force: the data is not needed any more."""
        self._thread.run(self.own_broker.kill())
        self._thread.run(self.own_database.kill())
        for start in (self._broker, self._database):
            if start is not None and start.exception() is None:
                self._thread.run(start.result().kill())
        self._thread.close()
        shutil.rmtree(self._folder)

    def _start(self, *, broker: bool, database: bool) -> None:
        if broker and self._broker is None:
            self._broker = self._thread.submit(_started_broker(self._folder / "broker"))
        if database and self._database is None:
            self._database = self._thread.submit(_migrated_database(self._folder / "database"))

    async def _create_vhost(self, name: str, schedule: str) -> None:
        broker = self.broker()
        await broker.create_vhost(name)
        if schedule:
            await topology.apply(broker.amqp_url(name), RetrySchedule.parse(schedule))

    async def _create_database(self, name: str) -> None:
        await self.database().create_database(name, TEMPLATE)

    async def _start_own_broker(self) -> PrivateBroker:
        return await _started_broker(self._folder / f"broker-{uuid.uuid4().hex}")

    async def _start_own_database(self) -> PrivateDatabase:
        database = new_database(self._folder / f"database-{uuid.uuid4().hex}")
        await database.start()
        await database.create_database("ringback")
        return database


def _memory() -> Path | None:
    """A folder in memory, if it has room for all nodes: there no busy disk makes them wait."""
    folder = Path("/dev/shm")  # ruff: ignore[hardcoded-temp-file]  # the only name it has
    has_room = folder.is_dir() and shutil.disk_usage(folder).free > _ROOM_BYTES
    return folder if has_room else None


async def _started_broker(data_dir: Path) -> PrivateBroker:
    broker = new_broker(data_dir)
    await broker.start(within_s=PATIENCE_S)
    return broker


async def _migrated_database(data_dir: Path) -> PrivateDatabase:
    # Imported here, so that tests without a database run where migrations cannot be loaded.
    from ringback.runtime.postgres.migrate import migrate  # ruff: ignore[import-outside-top-level]

    database = new_database(data_dir)
    await database.start(within_s=PATIENCE_S)
    await database.create_database(TEMPLATE)
    await migrate(database.url(TEMPLATE))
    return database


async def _run_again(broker: PrivateBroker) -> None:
    """Start it if it is down. The next test has a virtual host of its own."""
    if not await _listens(broker.ports.amqp):
        await broker.kill()
        await broker.start()


async def _empty_database(database: PrivateDatabase) -> None:
    """Start it if it is down, and remove its databases, roles and settings."""
    if not await _listens(database.port):
        await database.start()
    admin = await asyncpg.connect(database.url("postgres"))
    try:
        await admin.execute("ALTER SYSTEM RESET ALL")
        await admin.execute("SELECT pg_reload_conf()")
        for name in await admin.fetch(
            "SELECT datname FROM pg_database WHERE datname <> 'postgres' AND NOT datistemplate"
        ):
            await database.drop_database(name[0])
        for role in await admin.fetch(
            "SELECT quote_ident(rolname) FROM pg_roles"
            " WHERE rolname <> current_user AND rolname !~ '^pg_'"
        ):
            await admin.execute(f"DROP ROLE {role[0]}")
    finally:
        await admin.close()
    await database.create_database("ringback")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
