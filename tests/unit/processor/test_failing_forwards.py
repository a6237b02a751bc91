"""What a processor reports about its forwards, while attempts continue to end."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
from prometheus_client import CollectorRegistry

from ringback.services.processor.builtin.failing_forwards import FailingForwards
from tests.unit.processor.test_forward import forward_to

ORG = UUID(int=1)
FORWARD = forward_to("http://127.0.0.1:1/")


class Database:
    """Keeps each report; one waits until `answer` has its result."""

    def __init__(self) -> None:
        self.reports: list[tuple[list[str], list[str]]] = []
        self.asked = asyncio.Event()
        self.answer = asyncio.get_running_loop().create_future()

    async def fetch(self, _: str, succeeded: list[str], failed: str, *__: Any, **___: Any) -> Any:
        self.reports.append((succeeded, [one["error"] for one in orjson.loads(failed)]))
        self.asked.set()
        return await self.answer


async def test_what_ends_during_a_report_is_in_the_next_one() -> None:
    """Also for a destination that this report is about."""
    database = Database()
    pool: Any = database
    forwards = FailingForwards(pool, CollectorRegistry())
    forwards.ended(FORWARD, ORG, None)
    forwards.ended(FORWARD, ORG, "first")
    reporting = asyncio.create_task(forwards.report())
    await database.asked.wait()

    forwards.ended(FORWARD, ORG, None)
    forwards.ended(FORWARD, ORG, "second")
    database.answer.set_result([])
    await reporting
    await forwards.report()
    await forwards.report()

    name = FORWARD.destination
    assert database.reports == [([name], ["first"]), ([name], ["second"])]


async def test_what_could_not_be_reported_is_reported_with_what_ended_since() -> None:
    database = Database()
    pool: Any = database
    forwards = FailingForwards(pool, CollectorRegistry())
    forwards.ended(FORWARD, ORG, None)
    forwards.ended(FORWARD, ORG, "first")
    reporting = asyncio.create_task(forwards.report())
    await database.asked.wait()

    forwards.ended(FORWARD, ORG, "second")
    database.answer.set_exception(ConnectionRefusedError())
    await reporting
    database.answer = asyncio.get_running_loop().create_future()
    database.answer.set_result([])
    await forwards.report()

    assert database.reports[1] == ([FORWARD.destination], ["second"])
