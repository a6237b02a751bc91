"""A webhook's trace at a collector, with the spans that its handler and a library begin."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pytest_aiohttp import AiohttpRawServer

from tests.acceptance.whole import whole_ringback
from tests.support.collector import Collector, collecting, value_of
from tests.support.eventually import eventually

TREE = """\
POST /api/webhooks/vapi
  publish webhooks:attempt.1
    process webhooks:attempt.1:webhooks.work
      begin_attempts
      handle tests.acceptance.traced_handler.look_up
        look up
          GET
      handle ringback.services.processor.builtin.voice_calls.call_update_of
      finish_attempts
      ack webhooks:attempt.1:webhooks.work"""


@dataclass
class CalledService:
    """The service that the handler calls. It keeps the trace contexts that it receives."""

    url: str = ""
    traceparents: list[str | None] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.traceparents.append(request.headers.get("traceparent"))
        return web.Response()


@pytest.fixture
async def called(aiohttp_raw_server: AiohttpRawServer) -> CalledService:
    service = CalledService()
    service.url = str((await aiohttp_raw_server(service.answer)).make_url("/"))
    return service


def outline(parent_id: bytes, spans: list[Span], indent: str = "") -> Iterator[str]:
    for span in sorted(spans, key=lambda one: one.start_time_unix_nano):
        if span.parent_span_id == parent_id:
            yield f"{indent}{span.name}"
            yield from outline(span.span_id, spans, f"{indent}  ")


@pytest.mark.slow
async def test_the_spans_of_a_handler_are_in_the_trace_of_its_webhook(
    amqp_url: str, database_url: str, tmp_path: Path, called: CalledService
) -> None:
    """One tree, from the request to the service that the handler called and to the log line."""
    async with collecting(Collector()) as collector:
        collector.answers.set()
        async with whole_ringback(
            amqp_url,
            database_url,
            tmp_path,
            RINGBACK_HANDLERS="tests.acceptance.traced_handler",
            LOOK_UP_AT=called.url,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        ) as whole:
            job_id = await whole.accepted(b'{"message": {"type": "ringback.demo"}}')
            await whole.settled([job_id])

            def whole_trace() -> list[Span]:
                trace_ids = {
                    span.trace_id
                    for span in collector.spans
                    if value_of(span, "ringback.job_id") == job_id
                }
                spans = [span for span in collector.spans if span.trace_id in trace_ids]
                assert list(outline(b"", spans)) == TREE.splitlines()
                return spans

            spans = await eventually(whole_trace)

    by_name = {span.name: span for span in spans}
    assert called.traceparents == [
        f"00-{spans[0].trace_id.hex()}-{by_name['GET'].span_id.hex()}-03"
    ]
    assert value_of(by_name["look up"], "job") == job_id
    lines = map(json.loads, (tmp_path / "processor.log").read_text("utf-8").splitlines())
    [line] = [one for one in lines if one["event"] == "attempt.finished"]
    process = by_name["process webhooks:attempt.1:webhooks.work"]
    assert (line["trace_id"], line["span_id"]) == (process.trace_id.hex(), process.span_id.hex())
