"""The one broker and the one database that the tests of a session share."""

import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

from ringback.local.account import make_private
from ringback.local.broker import PrivateBroker
from ringback.local.database import PrivateDatabase
from ringback.local.ports import BrokerPorts, free_ports, named_ports
from tests.support.loop_thread import LoopThread

TEMPLATE = "ringback_template"

QUICK_FIGURES = "collect_statistics_interval = 500\n"
"""Tests query the management API while they wait for its figures."""

# Which fixtures need which node: what a session needs is started together at the first need.
BROKER_FIXTURES = frozenset({"broker", "amqp_url"})
DATABASE_FIXTURES = frozenset({"database", "database_url"})


def new_broker(data_dir: Path) -> PrivateBroker:
    """Give a broker on ports that are free now; it is not started."""
    names = named_ports(BrokerPorts())
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return PrivateBroker(data_dir, BrokerPorts(**ports), QUICK_FIGURES)


def new_database(data_dir: Path) -> PrivateDatabase:
    """Give a database on a port that is free now; it is not started.

    It is not durable: no test cuts the power, and many make and drop databases.
    """
    return PrivateDatabase(data_dir, free_ports(1)[0], durable=False, superuser_over_tcp=True)


class SessionNodes:
    """Starts each node when it is first needed, the other beside it if the session needs both."""

    def __init__(self, fixture_names: Iterable[str]) -> None:
        self._wanted = frozenset(fixture_names)
        self._folder = Path(tempfile.mkdtemp(prefix="ringback-tests-"))
        make_private(self._folder)
        self._thread = LoopThread()
        self._broker: Future[PrivateBroker] | None = None
        self._database: Future[PrivateDatabase] | None = None

    def broker(self) -> PrivateBroker:
        self._start(broker=True, database=bool(self._wanted & DATABASE_FIXTURES))
        assert self._broker is not None
        return self._broker.result()

    def database(self) -> PrivateDatabase:
        """Give the database, in which the template named `TEMPLATE` is migrated."""
        self._start(broker=bool(self._wanted & BROKER_FIXTURES), database=True)
        assert self._database is not None
        return self._database.result()

    def close(self) -> None:
        """End what was started, by force: nobody will look at the data again."""
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


async def _started_broker(data_dir: Path) -> PrivateBroker:
    broker = new_broker(data_dir)
    await broker.start()
    return broker


async def _migrated_database(data_dir: Path) -> PrivateDatabase:
    # Imported here, so that tests without a database run where migrations cannot be loaded.
    from ringback.runtime.postgres.migrate import migrate  # ruff: ignore[import-outside-top-level]

    database = new_database(data_dir)
    await database.start()
    await database.create_database(TEMPLATE)
    await migrate(database.url(TEMPLATE))
    return database
