"""Reports a gateway's endpoints, and the requests that it refused, to the database.

Nothing waits for a report. If one cannot be written, the next one has the same.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from heapq import nsmallest
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from ringback.runtime.endpoints.instruments import EndpointsFileInstruments
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.postgres.refusal import refusal
from ringback.runtime.process.background import run_in_background
from ringback.services.gateway.endpoints.endpoint import Endpoint
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.instruments import GatewayInstruments

_PACKAGE = "ringback.services.gateway.endpoints"

MAX_ENDPOINTS = 1_000
MAX_LISTED = 20
"""Event types and forwards of one endpoint, and problems of the file, that are reported."""

_MAX_PROBLEM = 500
_EVERY_S = 5.0
_TIMEOUT_S = 5.0
_FORGET_S = 1.0


class EndpointReporter:
    """Reports every five seconds while entered: what has changed, and that the gateway is alive.

    On exit it removes what it reported, in at most one second.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        instance_id: UUID,
        *,
        table: EndpointTable,
        refusals: RefusalCounts,
        file: EndpointsFileInstruments,
        instruments: GatewayInstruments,
        every_s: float = _EVERY_S,
    ) -> None:
        self._pool = pool
        self._instance_id = instance_id
        self._table = table
        self._refusals = refusals
        self._file = file
        self._instruments = instruments
        self._every_s = every_s
        self._started_at = datetime.now(UTC)
        self._since: dict[str, tuple[Endpoint, datetime]] = {}
        self._reported_routes: Mapping[str, Endpoint] | None = None
        self._reported_refusals = 0
        self._has_failed = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        try:
            async with run_in_background(self._run):
                yield
        finally:
            with suppress(*DATABASE_UNAVAILABLE_ERRORS):
                async with asyncio.timeout(_FORGET_S):
                    sql = load(_PACKAGE, "forget_gateway.sql")
                    await self._pool.execute(sql, self._instance_id)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await self._report()
            except Exception as exc:  # ruff: ignore[blind-except]  # a report is not worth a gateway
                # The log of an outage is that of the pending rows.
                is_outage = isinstance(exc, DATABASE_UNAVAILABLE_ERRORS) and refusal(exc) is None
                if not is_outage and not self._has_failed:
                    self._has_failed = True
                    self._instruments.failed()
            await asyncio.sleep(self._every_s)

    async def _report(self) -> None:
        routes, version = self._table.routes, self._refusals.version
        endpoints = refusals = None
        if routes is not self._reported_routes:
            # In a thread: there may be 100,000 endpoints.
            endpoints = await asyncio.to_thread(self._endpoint_rows, routes)
        if version != self._reported_refusals:
            refusals = orjson.dumps(list(self._refusals.rows())).decode()
        is_new = await self._pool.fetchval(
            load(_PACKAGE, "report_gateway.sql"),
            self._instance_id,
            socket.gethostname(),
            self._started_at,
            len({endpoint.id for endpoint in routes.values()}),
            [problem[:_MAX_PROBLEM] for problem in self._file.problems[:MAX_LISTED]],
            endpoints,
            refusals,
        )
        if is_new and (endpoints is None or (refusals is None and version)):
            # The server lost the earlier reports. The next one has everything.
            self._reported_routes, self._reported_refusals = None, 0
        else:
            self._reported_routes, self._reported_refusals = routes, version

    def _endpoint_rows(self, routes: Mapping[str, Endpoint]) -> str:
        """The first endpoints by id, as rows of `webhook_gateway_endpoints` in JSON."""
        endpoints = {endpoint.id: endpoint for endpoint in routes.values()}
        now, since = datetime.now(UTC), {}
        for endpoint_id in nsmallest(MAX_ENDPOINTS, endpoints):
            before = self._since.get(endpoint_id)
            endpoint = endpoints[endpoint_id]
            is_same = before is not None and before[0] == endpoint
            since[endpoint_id] = before if before and is_same else (endpoint, now)
        self._since = since
        rows = [
            {
                "endpoint_id": endpoint_id,
                "org_id": endpoint.org_id,
                "since": moment,
                "declared": declared_of(endpoint),
            }
            for endpoint_id, (endpoint, moment) in since.items()
        ]
        return orjson.dumps(rows).decode()


def declared_of(endpoint: Endpoint) -> dict[str, Any]:
    """What the file says about an endpoint, without secrets, paths of URLs, and long lists."""
    lists = [endpoint.event_types, endpoint.forwards, *(f.event_types for f in endpoint.forwards)]
    return {
        "is_enabled": endpoint.is_enabled,
        "is_built_in": endpoint.is_built_in,
        "event_types": endpoint.event_types[:MAX_LISTED],
        "credential_kinds": endpoint.credential_kinds[:MAX_LISTED],
        "questions": sorted(endpoint.questions),
        "forwards": [
            {
                "name": forward.name,
                "host": forward.host,
                "destination": forward.destination,
                "event_types": forward.event_types[:MAX_LISTED],
            }
            for forward in endpoint.forwards[:MAX_LISTED]
        ],
        "is_cut": any(len(one) > MAX_LISTED for one in lists),
    }
