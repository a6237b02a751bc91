"""The endpoints that gateways report, and who sees them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from ringback.local.ports import free_ports
from ringback.metrics.v1.endpoint_pb2 import Endpoint as Shown
from ringback.metrics.v1.metrics_service_pb2 import ListEndpointsRequest
from ringback.runtime.endpoints.instruments import EndpointsFileInstruments
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.postgres.pool import open_pool
from ringback.runtime.process.settings import DatabaseSettings
from ringback.services.gateway.endpoints.document import built, parse_document
from ringback.services.gateway.endpoints.endpoint import Endpoint
from ringback.services.gateway.endpoints.refusals import RefusalCounts
from ringback.services.gateway.endpoints.report import EndpointReporter
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.http.rejection import NOT_FOUND, TOO_LARGE
from tests.integration.metrics.queried_log import OURS, THEIRS, as_org
from tests.support.database_roles import GATEWAY, url_as
from tests.support.eventually import eventually
from tests.unit.gateway.serving import gateway_instruments

DOCUMENT = f"""
endpoints:
  acme:
    org_id: {OURS}
    secret: hidden-header-value
    event_types: [tool-calls, "call.*"]
    credentials:
      - {{kind: hmac, algorithm: sha256, secret: hidden-hmac-value}}
    questions:
      tool-calls: {{url: "https://hidden-backend.example.com/x"}}
    forward:
      - name: crm
        url: https://hooks.example.com:8443/hidden-path
        signing_secrets: whsec_aGlkZGVuLWhpZGRlbi1oaWRkZW4taGlkZGVu
        event_types: [tool-calls]
  beta: {{org_id: {THEIRS}, state: disabled, secret: hidden-other-value}}
"""


def declared(text: str = DOCUMENT) -> tuple[Endpoint, ...]:
    return built(parse_document(text, Sources(with_signing_secrets=True)))


class Reporting:
    """A gateway's parts that a report shows."""

    def __init__(self, endpoints: tuple[Endpoint, ...]) -> None:
        registry = CollectorRegistry()
        self.id = uuid4()
        self.table = EndpointTable(endpoints)
        self.refusals = RefusalCounts()
        self.file = EndpointsFileInstruments(registry)
        self.instruments = gateway_instruments(registry)

    @asynccontextmanager
    async def running(self, database_url: str) -> AsyncGenerator[None, None]:
        settings = DatabaseSettings(database_url=url_as(database_url, GATEWAY))
        async with (
            open_pool(settings, "test") as pool,
            EndpointReporter(
                pool,
                self.id,
                table=self.table,
                refusals=self.refusals,
                file=self.file,
                instruments=self.instruments,
                every_s=0.05,
            ).running(),
        ):
            yield


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Reporting]:
    reporting = Reporting(declared())
    async with reporting.running(database_url):
        yield reporting


async def shown(api: Any, caller: UUID | None = None, **fields: Any) -> Any:
    return await api.list_endpoints(ListEndpointsRequest(**fields), as_org(caller))


async def both(api: Any) -> tuple[Shown, Shown]:
    acme, beta = await eventually(lambda: two(api))
    return acme, beta


async def two(api: Any) -> list[Shown] | None:
    endpoints = list((await shown(api)).endpoints)
    return endpoints if len(endpoints) == 2 else None


async def test_an_endpoint_is_shown_as_it_is_declared(
    api: Any, gateway: Reporting, log: asyncpg.Connection
) -> None:
    """Without a secret or the path of a URL."""
    acme, beta = await both(api)

    assert (acme.id, acme.org_id, acme.is_enabled, acme.is_built_in) == (
        "acme", str(OURS), True, False,
    )  # fmt: skip
    assert list(acme.event_types) == ["tool-calls", "call.*"]
    assert list(acme.credential_kinds) == ["secret", "hmac"]
    assert (list(acme.questions), acme.is_cut) == (["tool-calls"], False)
    [forward] = acme.forwards
    assert (forward.name, forward.host, forward.destination) == (
        "crm", "hooks.example.com:8443", "forward.acme.crm",
    )  # fmt: skip
    assert list(forward.event_types) == ["tool-calls"]
    [has] = acme.gateways
    assert (has.gateway_id, has.is_different) == (str(gateway.id), False)
    assert has.HasField("since")
    assert (beta.id, beta.is_enabled, list(beta.credential_kinds)) == ("beta", False, ["secret"])
    stored = await log.fetch(
        "SELECT e::text, g::text FROM webhook_gateway_endpoints AS e"
        " JOIN webhook_gateways AS g ON g.id = e.gateway_id"
    )
    assert stored
    assert "hidden" not in str(stored)


async def test_a_tenant_sees_its_own(api: Any, gateway: Reporting) -> None:
    """Not what the file or a path without an endpoint says."""
    gateway.file.endpoints_rejected(["beta.org_id: is required"])
    gateway.refusals.add(None, NOT_FOUND)
    for endpoint in gateway.table.endpoints():
        gateway.refusals.add(endpoint, TOO_LARGE)

    async def is_reported() -> bool:
        page = await shown(api)
        return bool(page.unknown_endpoint_refusals and page.gateways[0].file_problems)

    await eventually(is_reported)
    for page in (await shown(api, THEIRS), await shown(api, None, org_id=str(THEIRS))):
        [beta] = page.endpoints
        assert (beta.id, [one.reason for one in beta.refusals]) == ("beta", ["too_large"])
        assert not page.gateways
        assert not page.unknown_endpoint_refusals
    assert not (await shown(api, THEIRS, org_id=str(OURS))).endpoints


async def test_pages_follow_the_ids(api: Any, gateway: Reporting) -> None:
    await both(api)

    first = await shown(api, page_size=1)
    second = await shown(api, page_size=1, page_token=first.next_page_token)

    assert [one.id for page in (first, second) for one in page.endpoints] == ["acme", "beta"]
    assert not second.next_page_token
    assert first.gateways[0].endpoint_count == len({"acme", "beta"})
    assert first.gateways[0].id == str(gateway.id)


async def test_refusals_of_gateways_are_summed(
    api: Any, gateway: Reporting, database_url: str
) -> None:
    """By reason, the last first."""
    other = Reporting(declared())
    acme = next(iter(other.table.endpoints()))
    gateway.refusals.add(acme, TOO_LARGE)
    other.refusals.add(acme, TOO_LARGE)
    other.refusals.add(acme, NOT_FOUND)
    async with other.running(database_url):

        async def is_summed() -> bool:
            found = [(one.reason, one.count) for one in (await both(api))[0].refusals]
            return found == [("not_found", 1), ("too_large", 2)]

        await eventually(is_summed)


async def test_a_changed_endpoint_has_a_new_time(
    api: Any, gateway: Reporting, database_url: str
) -> None:
    """Another gateway that still has the old one is shown as different."""
    async with Reporting(declared()).running(database_url):

        async def has_two() -> bool:
            return len((await both(api))[0].gateways) == 2

        await eventually(has_two)
        acme, beta = await both(api)
        gateway.table.replace(declared(DOCUMENT.replace("[tool-calls, ", "[hang, ")))

        async def is_changed() -> bool:
            return (await both(api))[0].event_types[0] == "hang"

        await eventually(is_changed)
        changed, unchanged = await both(api)
    newest, oldest = changed.gateways
    assert (newest.gateway_id, newest.is_different) == (str(gateway.id), False)
    assert newest.since.ToDatetime() > max(one.since.ToDatetime() for one in acme.gateways)
    assert oldest.is_different
    assert unchanged.gateways == beta.gateways


async def test_what_the_database_lost_is_reported_again(
    api: Any, gateway: Reporting, log: asyncpg.Connection
) -> None:
    """Unlogged tables are empty after a crash of the server."""
    gateway.refusals.add(None, NOT_FOUND)
    await both(api)

    await log.execute("TRUNCATE webhook_gateways CASCADE")

    await both(api)

    async def has_refusals() -> bool:
        return bool((await shown(api)).unknown_endpoint_refusals)

    await eventually(has_refusals)


async def test_a_gateway_that_ended_is_not_shown(
    api: Any, database_url: str, log: asyncpg.Connection
) -> None:
    """Whether it stopped or died; what a dead one reported is deleted after an hour."""
    async with Reporting(declared()).running(database_url):
        await both(api)
    assert await log.fetchval("SELECT count(*) FROM webhook_gateway_endpoints") == 0

    report = (
        "SELECT report_webhook_gateway($1, 'host', now(), 1, '{}', jsonb_build_array("
        "jsonb_build_object('endpoint_id', 'acme', 'org_id', $2::uuid, 'since', now(),"
        " 'declared', '{}'::jsonb)), NULL)"
    )
    died = "UPDATE webhook_gateways SET seen_at = now() - $1::text::interval"
    await log.execute(report, uuid4(), OURS)
    await log.execute(died, "31 s")
    page = await shown(api)
    await log.execute(died, "1 h 1 s")
    await log.execute(report, survivor := uuid4(), OURS)

    assert not page.endpoints
    assert not page.gateways
    rows = await log.fetch("SELECT gateway_id FROM webhook_gateway_endpoints")
    assert [row["gateway_id"] for row in rows] == [survivor]


async def test_what_a_newer_gateway_declares_is_left_out(api: Any, log: asyncpg.Connection) -> None:
    known = {"is_enabled": True, "event_types": ["hang"], "forwards": [{"name": "crm"}]}
    newer = {**known, "newer": {"a": 1}, "forwards": [{"name": "crm", "newer": [1]}]}
    for declaration in (newer, known):
        await log.execute(
            "SELECT report_webhook_gateway($1, 'host', now(), 1, '{}', jsonb_build_array("
            "jsonb_build_object('endpoint_id', 'acme', 'org_id', $2::uuid, 'since', now(),"
            " 'declared', $3::text::jsonb)), NULL)",
            *(uuid4(), OURS, json.dumps(declaration)),
        )

    [endpoint] = (await shown(api)).endpoints

    assert endpoint.is_enabled
    assert [one.name for one in endpoint.forwards] == ["crm"]
    assert len(endpoint.gateways) == 2


async def test_an_unreachable_database_changes_nothing() -> None:
    """The gateway starts, works and stops."""
    reporting = Reporting(declared())
    nobody = f"postgresql://postgres@127.0.0.1:{free_ports(1)[0]}/ringback"

    async with asyncio.timeout(60), reporting.running(nobody):
        reporting.refusals.add(None, NOT_FOUND)
        await asyncio.sleep(0)
