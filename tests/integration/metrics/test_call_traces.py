"""The traces of the metrics service's calls, by gRPC and by REST."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import asyncpg
import grpc
import pytest
import pytest_asyncio

from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from ringback.contract.trace_context import TraceContext, new_trace_context
from ringback.metrics.v1.admin_service_pb2 import RetryDeliveryRequest
from ringback.metrics.v1.admin_service_pb2_grpc import AdminServiceStub
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryRequest
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.migrations.log_calls import End, Webhook, bury, finish
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes
from tests.support.tokens import bearer
from tests.support.trace_file import TracedSpan, outline, spans_in

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ORG = UUID("0190f5c4-0000-7000-8000-00000000000a")
FIRST_ATTEMPT = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
STATEMENTS = [
    *("  set_role", "  delivery", "  attempts_of_delivery", "  retries_of_delivery"),
    *("  forwards_of_delivery", "  waits_of_deliveries"),
]
RETRY = """\
ringback.metrics.v1.AdminService/RetryDelivery
  set_role
  retry_webhook
  retry_message
  publish webhooks:attempt.1
  set_role
  retry_mark_published"""


@dataclass(frozen=True, slots=True)
class Traced:
    """A service that writes its spans to a file, with one dead letter in its log.

    Each test calls it as `caller`, within a trace of its own.
    """

    process: MetricsProcess
    path: Path
    dead: str
    amqp_url: str
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession
    caller: TraceContext = field(default_factory=new_trace_context)

    @property
    def reads(self) -> Any:
        return MetricsServiceStub(self.channel)

    @property
    def changes(self) -> Any:
        return AdminServiceStub(self.channel)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ("authorization", bearer()), ("traceparent", self.caller.traceparent)

    async def get(self, path: str, **headers: str) -> int:
        url = f"http://127.0.0.1:{self.process.rest_port}{path}"
        headers["traceparent"] = self.caller.traceparent
        async with self.http.get(url, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def call(self, name: str) -> list[TracedSpan]:
        """The span of the only call with this name, and its children, once they are written."""

        def written() -> list[TracedSpan]:
            spans = [one for one in spans_in(self.path) if one.trace_id == self.caller.trace_id]
            calls = [span for span in spans if span.name == name]
            assert len(calls) == 1, spans
            return [*calls, *(one for one in spans if one.parent_id == calls[0].span_id)]

        return await eventually(written)


@asynccontextmanager
async def started(
    folder: Path, amqp_url: str, database_url: str, dead: str
) -> AsyncGenerator[Traced, None]:
    path = folder / "traces.jsonl"
    settings = {"amqp_url": amqp_url, "database_url": database_url}
    async with (
        metrics_process(folder, **settings, RINGBACK_TRACE_FILE=str(path)) as process,
        grpc.aio.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel,
        aiohttp.ClientSession() as http,
    ):
        yield Traced(process, path, dead, amqp_url, channel, http)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    session_nodes: SessionNodes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Traced]:
    """One service for all tests here."""
    async with session_nodes.place("2s,4s,8s") as (amqp_url, database_url):
        dead, folder = await buried(database_url), tmp_path_factory.mktemp("traced")
        async with started(folder, amqp_url, database_url, dead) as traced:
            await eventually(traced.process.is_ready)
            yield traced


@pytest.fixture
def traced(service: Traced) -> Traced:
    return replace(service, caller=new_trace_context())


async def buried(database_url: str) -> str:
    """A dead letter of one traced attempt."""
    dead = Webhook(org_id=ORG, event_data='{"message": {"type": "hang"}}')
    connection = await asyncpg.connect(database_url)
    await finish(connection, End(dead, "permanent", 1, ("E", "It failed.")))
    await bury(connection, dead, attempt=1)
    await connection.execute(
        "UPDATE webhook_delivery_attempts SET trace_id = $1, span_id = $2", *FIRST_ATTEMPT
    )
    await connection.close()
    return str(dead.id)


@pytest.mark.parametrize("by_rest", [False, True], ids=["grpc", "rest"])
async def test_a_call_is_in_the_trace_of_its_caller(traced: Traced, *, by_rest: bool) -> None:
    """Its span continues that trace, and contains a span of each statement.

    By REST it has the route for a name, not the path, and the status that was answered.
    """
    method = "ringback.metrics.v1.MetricsService/GetDelivery"
    name, attributes = method, {"rpc.system.name": "grpc"}
    if by_rest:
        route = "/api/webhook-metrics/deliveries/{job_id}"
        path = route.format(job_id=traced.dead)
        name = f"GET {route}"
        attributes = {
            "http.request.method": "GET",
            "http.route": route,
            "http.response.status_code": "200",
            "url.path": path,
            "url.scheme": "http",
            "ringback.org_id": str(ORG),
        }
        assert await traced.get(path, Authorization=bearer("tenant", ORG)) == 200
    else:
        request = GetDeliveryRequest(job_id=traced.dead)
        await traced.reads.GetDelivery(request, metadata=traced.metadata)

    spans = await traced.call(name)

    call, *statements = spans
    assert outline(spans) == [name, *STATEMENTS]
    assert (call.kind, call.parent_id) == ("SERVER", traced.caller.span_id)
    assert call.attributes == attributes | {"rpc.method": method, "rpc.response.status_code": "OK"}
    assert {one.kind for one in statements} == {"CLIENT"}
    assert statements[1].attributes == {
        "db.system.name": "postgresql",
        "db.query.summary": "delivery",
    }


async def test_a_client_error_does_not_fail_the_span(traced: Traced) -> None:
    """A missing or forbidden thing shows in the status; the span is no error."""
    request = GetDeliveryRequest(job_id=str(new_job_id()))
    with pytest.raises(grpc.aio.AioRpcError):
        await traced.reads.GetDelivery(request, metadata=traced.metadata)
    statuses = [
        await traced.get("/api/webhook-metrics/queue-health"),
        await traced.get("/nowhere/at/all"),
    ]

    missing, *_ = await traced.call("ringback.metrics.v1.MetricsService/GetDelivery")
    stranger, *_ = await traced.call("GET /api/webhook-metrics/queue-health")
    lost, *_ = await traced.call("GET")
    assert statuses == [401, 404]
    assert [one.is_error for one in (missing, stranger, lost)] == [False, False, False]
    assert missing.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert missing.attributes["ringback.rejection"] == "DELIVERY_NOT_FOUND"
    assert stranger.attributes["rpc.response.status_code"] == "UNAUTHENTICATED"
    assert lost.attributes["ringback.rejection"] == "NO_SUCH_PATH"
    assert "http.route" not in lost.attributes


async def test_a_server_error_marks_the_span_as_failed(traced: Traced, tmp_path: Path) -> None:
    """A rich error by gRPC and a problem by REST agree when the database is down."""
    path = f"/api/webhook-metrics/deliveries/{traced.dead}"
    nowhere = "postgresql://postgres@127.0.0.1:1/nowhere"
    async with started(tmp_path, traced.amqp_url, nowhere, traced.dead) as away:
        request = GetDeliveryRequest(job_id=away.dead)
        with pytest.raises(grpc.aio.AioRpcError):
            await away.reads.GetDelivery(request, metadata=away.metadata, wait_for_ready=True)
        status = await eventually(lambda: away.get(path, Authorization=bearer()))

        by_grpc, *_ = await away.call("ringback.metrics.v1.MetricsService/GetDelivery")
        by_rest, *_ = await away.call("GET /api/webhook-metrics/deliveries/{job_id}")
    assert status == 503
    for call in (by_grpc, by_rest):
        assert call.is_error
        assert call.attributes["error.type"] == "UNAVAILABLE"
        assert call.attributes["rpc.response.status_code"] == "UNAVAILABLE"
        assert call.attributes["ringback.rejection"] == "DATABASE_UNAVAILABLE"


async def test_a_retry_carries_its_publish_and_points_at_its_origin(traced: Traced) -> None:
    """The message names the span that published it, and where its original was first attempted."""
    answer = await traced.changes.RetryDelivery(
        RetryDeliveryRequest(job_id=traced.dead), metadata=traced.metadata
    )

    async def whole() -> list[TracedSpan]:
        spans = await traced.call("ringback.metrics.v1.AdminService/RetryDelivery")
        assert outline(spans) == RETRY.splitlines()
        return spans

    spans = await eventually(whole)
    [publish] = [span for span in spans if span.kind == "PRODUCER"]
    assert spans[0].attributes["ringback.job_id"] == traced.dead
    assert publish.attributes["ringback.job_id"] == answer.new_job_id
    assert publish.attributes["ringback.retry_of"] == traced.dead
    assert publish.links == {"origin": FIRST_ATTEMPT}
    headers = await taken(traced.amqp_url)
    assert headers["traceparent"].split("-")[1:3] == list(publish.ids)
    assert headers["origin_traceparent"].split("-")[1:3] == list(FIRST_ATTEMPT)


async def taken(amqp_url: str) -> dict[str, Any]:
    """The headers of the only message that waits for its first attempt."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(WORK_QUEUE)
        message = await queue.get(no_ack=True, timeout=60)
    assert message is not None
    return dict(message.headers)


async def test_background_polling_is_not_traced(traced: Traced) -> None:
    """Readings, folding and sweeping run on their own, and would hide the calls."""
    assert await traced.get("/openapi.json") == 200

    await traced.call("GET /openapi.json")
    spans = spans_in(traced.path)
    known = {span.span_id for span in spans}
    assert {span.kind for span in spans if span.parent_id not in known} == {"SERVER"}
