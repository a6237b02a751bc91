"""The traces of the metrics service's calls, by gRPC and by REST."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import aiohttp
import asyncpg
import grpc
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import WORK_QUEUE
from ringback.metrics.v1.admin_service_pb2 import RetryDeliveryRequest
from ringback.metrics.v1.admin_service_pb2_grpc import AdminServiceStub
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetQueueHealthRequest,
    WatchQueueHealthRequest,
)
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from ringback.runtime.amqp import topology
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.integration.migrations.log_calls import End, Webhook, bury, finish
from tests.support.eventually import eventually
from tests.support.tokens import bearer
from tests.support.trace_file import TracedSpan, outline, spans_in

ORG = UUID("0190f5c4-0000-7000-8000-00000000000a")
CALLER = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
TRACEPARENT = f"00-{CALLER[0]}-{CALLER[1]}-01"
FIRST_ATTEMPT = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
READ = """\
{name}
  set_role
  delivery
  attempts_of_delivery
  retries_of_delivery"""
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
    """A service that writes its spans to a file, with one dead letter in its log."""

    process: MetricsProcess
    path: Path
    dead: str
    channel: grpc.aio.Channel
    http: aiohttp.ClientSession

    @property
    def reads(self) -> Any:
        return MetricsServiceStub(self.channel)

    @property
    def changes(self) -> Any:
        return AdminServiceStub(self.channel)

    async def get(self, path: str, **headers: str) -> int:
        url = f"http://127.0.0.1:{self.process.rest_port}{path}"
        async with self.http.get(url, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def call(self, name: str) -> list[TracedSpan]:
        """The span of the only call with this name, and its children, once they are written."""

        def written() -> list[TracedSpan]:
            spans = spans_in(self.path)
            calls = [span for span in spans if span.name == name]
            assert len(calls) == 1, spans
            return [*calls, *(one for one in spans if one.parent_id == calls[0].span_id)]

        return await eventually(written)


METADATA = (("authorization", bearer()), ("traceparent", TRACEPARENT))


@pytest.fixture
async def traced(amqp_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Traced]:
    await topology.apply(amqp_url, RetrySchedule.parse("2s,4s,8s"))
    dead = await buried(database_url)
    path = tmp_path / "traces.jsonl"
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(
            metrics_process(
                tmp_path,
                amqp_url=amqp_url,
                database_url=database_url,
                RINGBACK_TRACE_FILE=str(path),
            )
        )
        address = f"127.0.0.1:{process.grpc_port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await eventually(process.is_ready)
        yield Traced(process, path, dead, channel, http)


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


async def test_a_call_by_grpc_is_in_the_trace_of_its_caller(traced: Traced) -> None:
    """Its span continues the metadata's trace, and contains a span of each statement."""
    await traced.reads.GetDelivery(GetDeliveryRequest(job_id=traced.dead), metadata=METADATA)

    name = "ringback.metrics.v1.MetricsService/GetDelivery"
    spans = await traced.call(name)
    call, *statements = spans
    assert outline(spans) == READ.format(name=name).splitlines()
    assert (call.kind, call.trace_id, call.parent_id) == ("SERVER", *CALLER)
    assert call.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": name,
        "rpc.response.status_code": "OK",
    }
    assert {one.kind for one in statements} == {"CLIENT"}
    assert statements[1].attributes == {
        "db.system.name": "postgresql",
        "db.query.summary": "delivery",
    }


async def test_a_call_by_rest_is_in_the_trace_of_its_caller(traced: Traced) -> None:
    """Its span has the route and not the path for a name, and the status that was answered."""
    path = f"/api/webhook-metrics/deliveries/{traced.dead}"
    status = await traced.get(path, Authorization=bearer("tenant", ORG), traceparent=TRACEPARENT)

    name = "GET /api/webhook-metrics/deliveries/{job_id}"
    spans = await traced.call(name)
    assert status == 200
    assert outline(spans) == READ.format(name=name).splitlines()
    assert (spans[0].kind, spans[0].trace_id, spans[0].parent_id) == ("SERVER", *CALLER)
    assert spans[0].attributes == {
        "http.request.method": "GET",
        "http.route": "/api/webhook-metrics/deliveries/{job_id}",
        "http.response.status_code": "200",
        "url.path": path,
        "url.scheme": "http",
        "rpc.method": "ringback.metrics.v1.MetricsService/GetDelivery",
        "rpc.response.status_code": "OK",
        "ringback.org_id": str(ORG),
    }


async def test_a_client_error_does_not_fail_the_span(traced: Traced) -> None:
    """A missing or forbidden thing shows in the status; the span is no error."""
    request = GetDeliveryRequest(job_id=str(new_job_id()))
    with pytest.raises(grpc.aio.AioRpcError):
        await traced.reads.GetDelivery(request, metadata=METADATA)
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


async def test_a_server_error_marks_the_span_as_failed(
    traced: Traced, amqp_url: str, tmp_path: Path
) -> None:
    """A rich error by gRPC and a problem by REST agree when the database is down."""
    path = f"/api/webhook-metrics/deliveries/{traced.dead}"
    spans_path = tmp_path / "away.jsonl"
    async with metrics_process(
        tmp_path,
        amqp_url=amqp_url,
        database_url="postgresql://postgres@127.0.0.1:1/nowhere",
        RINGBACK_TRACE_FILE=str(spans_path),
    ) as process:
        address = f"127.0.0.1:{process.grpc_port}"
        async with grpc.aio.insecure_channel(address) as channel:
            away = Traced(process, spans_path, traced.dead, channel, traced.http)
            with pytest.raises(grpc.aio.AioRpcError):
                await away.reads.GetDelivery(
                    GetDeliveryRequest(job_id=away.dead), metadata=METADATA, wait_for_ready=True
                )
            status = await eventually(lambda: away.get(path, Authorization=bearer()))

        by_grpc, *_ = await away.call("ringback.metrics.v1.MetricsService/GetDelivery")
        by_rest, *_ = await away.call("GET /api/webhook-metrics/deliveries/{job_id}")
    assert status == 503
    for call in (by_grpc, by_rest):
        assert call.is_error
        assert call.attributes["error.type"] == "UNAVAILABLE"
        assert call.attributes["rpc.response.status_code"] == "UNAVAILABLE"
        assert call.attributes["ringback.rejection"] == "DATABASE_UNAVAILABLE"


async def test_a_stream_ends_with_its_reader(traced: Traced) -> None:
    """A caller that stops watching ends the span, which is no error."""
    await eventually(lambda: _tells_of_queues(traced))
    watching = traced.reads.WatchQueueHealth(WatchQueueHealthRequest(), metadata=METADATA)
    await anext(aiter(watching))
    watching.cancel()

    [call] = await traced.call("ringback.metrics.v1.MetricsService/WatchQueueHealth")
    assert call.attributes["rpc.response.status_code"] == "CANCELLED"
    assert not call.is_error


async def test_a_retry_carries_its_publish_and_points_at_its_origin(
    traced: Traced, amqp_url: str
) -> None:
    """The message names the span that published it, and where its original was first attempted."""
    answer = await traced.changes.RetryDelivery(
        RetryDeliveryRequest(job_id=traced.dead), metadata=METADATA
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
    headers = await taken(amqp_url)
    assert headers["traceparent"].split("-")[1:3] == list(publish.ids)
    assert headers["origin_traceparent"].split("-")[1:3] == list(FIRST_ATTEMPT)


async def taken(amqp_url: str) -> dict[str, Any]:
    """The headers of the only message that waits for its first attempt."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(WORK_QUEUE)
        message = await queue.get(no_ack=True)
    assert message is not None
    return dict(message.headers)


async def test_background_polling_is_not_traced(traced: Traced) -> None:
    """Readings, folding and sweeping run on their own, and would hide the calls."""
    assert await traced.get("/openapi.json") == 200

    await traced.call("GET /openapi.json")
    assert {span.kind for span in spans_in(traced.path)} == {"SERVER"}


async def _tells_of_queues(traced: Traced) -> bool:
    """Not before the first reading, which no call waits for."""
    try:
        await traced.reads.GetQueueHealth(GetQueueHealthRequest(), metadata=METADATA)
    except grpc.aio.AioRpcError:
        return False
    return True
