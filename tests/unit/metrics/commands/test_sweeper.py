"""The sweeper in an outage of the database."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from ringback.services.metrics.commands.sweeper import RetrySweeper
from ringback.services.metrics.transport.errors import Reason, unavailable
from tests.support.eventually import eventually


class Database:
    """Access to a database that is unavailable for the first five sweeps, and for the seventh."""

    def __init__(self) -> None:
        self.sweeps = 0

    @asynccontextmanager
    async def changing(self, _: object) -> Any:
        self.sweeps += 1
        if self.sweeps <= 5 or self.sweeps == 7:
            raise unavailable(Reason.DATABASE_UNAVAILABLE, "The database cannot be reached.")
        yield self

    async def fetch(self, *_: object) -> list[Any]:
        return []


class Outbox:
    is_ready = True


async def test_an_outage_is_logged_once() -> None:
    """The log would get a line per second otherwise; a second outage has its own line."""
    database: Any = Database()
    outbox: Any = Outbox()
    sweeper = RetrySweeper(database, outbox, asyncio.Event())

    with capture_logs() as lines:
        sweeping = asyncio.create_task(sweeper.run(interval_s=0))
        await eventually(lambda: database.sweeps >= 8)
        sweeping.cancel()
        await asyncio.wait({sweeping})

    assert [line["event"] for line in lines] == ["retries.not_swept", "retries.not_swept"]
