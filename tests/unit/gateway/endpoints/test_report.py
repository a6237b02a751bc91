"""What a gateway reports of its endpoints and refusals."""

from typing import Any, cast
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from ringback.runtime.endpoints.instruments import EndpointsFileInstruments
from ringback.services.gateway.endpoints.endpoint import Endpoint
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.report import EndpointReporter
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.http.rejection import NOT_FOUND
from tests.support.eventually import eventually
from tests.unit.gateway.serving import gateway_instruments


class Pool:
    """Keeps which of the endpoints and the refusals each report has."""

    def __init__(self) -> None:
        self.reports: list[tuple[bool, bool]] = []
        self.is_empty = True

    async def fetchval(self, _: str, *values: Any) -> bool:
        was_empty, self.is_empty = self.is_empty, False
        self.reports.append((values[-2] is not None, values[-1] is not None))
        return was_empty

    async def execute(self, *_: Any) -> None: ...


def reporter(
    pool: object, table: EndpointTable, refusals: RefusalCounts | None = None
) -> EndpointReporter:
    registry = CollectorRegistry()
    return EndpointReporter(
        cast("asyncpg.Pool", pool),
        UUID(int=1),
        table=table,
        refusals=refusals or RefusalCounts(),
        file=EndpointsFileInstruments(registry),
        instruments=gateway_instruments(registry),
        every_s=0.01,
    )


class FailingPool(Pool):
    def __init__(self, error: asyncpg.PostgresError) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    async def fetchval(self, *_: Any) -> bool:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (asyncpg.CannotConnectNowError("starting"), []),
        (asyncpg.InsufficientPrivilegeError("permission denied"), ["gateway.failed"]),
    ],
)
async def test_a_refused_report_is_logged_once_and_an_outage_is_not(
    error: asyncpg.PostgresError, logged: list[str]
) -> None:
    """The log of an outage is that of the pending rows; a missing right may be only this one."""
    pool = FailingPool(error)
    with capture_logs() as lines:
        async with reporter(pool, EndpointTable(())).running():
            await eventually(lambda: pool.tries >= 3)

    assert [line["event"] for line in lines] == logged


async def test_all_is_reported_again_after_a_loss_beside_a_reload() -> None:
    """The report that finds the loss has the new endpoints, but not the refusals."""
    pool, table, refusals = Pool(), EndpointTable(()), RefusalCounts()
    refusals.add(None, NOT_FOUND)
    async with reporter(pool, table, refusals).running():
        await eventually(lambda: pool.reports)
        before = len(pool.reports)
        pool.is_empty = True
        table.replace([Endpoint("acme", UUID(int=2))])
        await eventually(lambda: len(pool.reports) >= before + 2)

    assert pool.reports[0] == (True, True)
    assert pool.reports[before : before + 2] == [(True, False), (True, True)]
