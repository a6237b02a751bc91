"""The spans of requests: their attributes, parents and ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ringback.contract.telemetry.spans import Span
from ringback.services.gateway.storage.result import PublishOutcome
from tests.support.collector import Collector, collecting
from tests.support.eventually import eventually
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET
from tests.support.trace_file import TracedSpan, outline, spans_in
from tests.unit.gateway.serving import ServedGateway, serving

HANG = b'{"message": {"type": "hang", "call": {"id": "call-1"}}}'
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.fixture
def trace_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where gateways that are started later write their spans when they stop."""
    path = tmp_path / "traces.jsonl"
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))
    return path


@asynccontextmanager
async def traced(
    path: Path, **settings: str
) -> AsyncGenerator[tuple[ServedGateway, list[TracedSpan]], None]:
    """A gateway, and its spans, which are there once it has stopped."""
    spans: list[TracedSpan] = []
    async with serving(**settings) as gateway:
        yield gateway, spans
    spans += spans_in(path)
    declared = {str(one) for spec in (Span.RECEIVE, Span.PUBLISH) for one in spec.attributes}
    assert {key for one in spans for key in one.attributes} <= declared


async def test_an_accepted_webhook_is_two_spans(trace_file: Path) -> None:
    """The request and its publish, which is the parent in the message."""
    async with traced(trace_file) as (gateway, spans):
        await gateway.send(HANG, headers={"User-Agent": "Vapi/1.0"})
        envelope, _ = gateway.take()

    receive, publish = spans
    assert outline(spans) == [f"POST {PATH}", "  publish webhooks:attempt.1"]
    assert (receive.kind, publish.kind) == ("SERVER", "PRODUCER")
    assert envelope.trace.traceparent == f"00-{publish.trace_id}-{publish.span_id}-03"
    assert receive.began_ns <= publish.began_ns <= publish.ended_ns <= receive.ended_ns
    assert receive.attributes == {
        "http.request.method": "POST",
        "http.route": PATH,
        "url.scheme": "http",
        "url.path": PATH,
        "user_agent.original": "Vapi/1.0",
        "http.response.status_code": "200",
        "http.request.body.size": str(len(HANG)),
        "ringback.endpoint_id": "default",
        "ringback.org_id": DEFAULT_ORG,
        "ringback.job_id": str(envelope.job_id),
        "ringback.event_type": "hang",
        "ringback.call_id": "call-1",
        "ringback.storage_tier": "broker",
    }
    assert publish.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "webhooks:attempt.1",
        "messaging.rabbitmq.destination.routing_key": "attempt.1",
        "messaging.message.id": str(envelope.job_id),
        "messaging.message.body.size": str(len(HANG)),
        "ringback.job_id": str(envelope.job_id),
    }


async def test_the_senders_trace_is_continued(trace_file: Path) -> None:
    """One that is not recorded stays so. An invalid one is replaced by a new trace."""
    sent = [
        {"traceparent": SENT, "tracestate": "vendor=1"},
        {"traceparent": f"{SENT[:-2]}00"},
        {"traceparent": SENT.upper(), "tracestate": "vendor=1"},
    ]
    async with traced(trace_file) as (gateway, spans):
        assert [(await gateway.send(HANG, headers=one)).status for one in sent] == [200] * 3
        ours, unrecorded, _ = (envelope.trace for envelope, _ in gateway.broker.published)

    receive, publish, new, _ = spans
    assert (receive.trace_id, receive.parent_id, publish.trace_id) == (TRACE_ID, SPAN_ID, TRACE_ID)
    assert (ours.trace_id, ours.tracestate) == (TRACE_ID, "vendor=1")
    assert (unrecorded.trace_id, unrecorded.is_sampled) == (TRACE_ID, False)
    assert (new.parent_id, new.trace_id == TRACE_ID) == ("", False)


async def test_rejections_are_spans_without_an_error(trace_file: Path) -> None:
    """Status and reason show the sender's error; the gateway did not fail."""
    async with traced(trace_file) as (gateway, spans):
        await gateway.send(HANG, secret="wrong")
        await gateway.send(b"{", path=f"{PATH}?x=1")
        await gateway.send(HANG, path="/elsewhere/" + "x" * 300)
        await gateway.send(HANG, method="PUT")
        await gateway.send(HANG, method="PROPFIND", path="/")
        await disconnect_after_the_head(gateway)

    told = [(one.name, one.attributes["ringback.rejection"]) for one in spans]
    assert told == [
        (f"POST {PATH}", "wrong_secret"),
        (f"POST {PATH}", "not_json"),
        ("POST", "not_found"),
        (f"PUT {PATH}", "wrong_method"),
        ("_OTHER", "not_found"),
        (f"POST {PATH}", "broken_body"),
    ]
    statuses = [one.attributes["http.response.status_code"] for one in spans[:-1]]
    assert statuses == ["401", "400", "404", "405", "404"]
    assert not any(one.is_error or "error.type" in one.attributes for one in spans)
    assert len(spans[2].attributes["url.path"]) == 200
    assert spans[4].attributes["http.request.method_original"] == "PROPFIND"


async def disconnect_after_the_head(gateway: ServedGateway) -> None:
    """Send the headers, receive `100 Continue`, and disconnect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\nExpect: 100-continue\r\n"
        "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n".encode()
    )
    assert b"100 Continue" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 60)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("outcome", [PublishOutcome.NOT_CONNECTED, PublishOutcome.REFUSED])
async def test_a_webhook_that_is_not_stored_is_an_error(
    trace_file: Path, outcome: PublishOutcome
) -> None:
    """Both spans have the reason."""
    async with traced(trace_file) as (gateway, spans):
        gateway.broker.outcome = outcome
        await gateway.send(HANG)

    receive, publish = spans
    assert (receive.is_error, publish.is_error) == (True, True)
    assert receive.attributes["http.response.status_code"] == "503"
    assert {one.attributes["error.type"] for one in spans} == {outcome.value}


async def test_a_request_that_outlasts_the_drain_ends_its_spans(trace_file: Path) -> None:
    """Cancelled requests are recorded as errors without a status."""
    async with traced(trace_file, gateway_drain_timeout_s="0.1") as (gateway, spans):
        gateway.broker.answers.clear()
        cut = asyncio.create_task(gateway.send(HANG))
        await eventually(lambda: gateway.broker.asked)
        gateway.stop.set()
        await asyncio.gather(cut, return_exceptions=True)

    receive, publish = spans
    assert {one.attributes["error.type"] for one in spans} == {"CancelledError"}
    assert publish.parent_id == receive.span_id
    assert "http.response.status_code" not in receive.attributes


async def test_responses_do_not_wait_for_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hangs. Webhooks are accepted, the gateway ends, and the log has at most two lines."""
    async with collecting(Collector()) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        # With a wait for the collector, nothing here would end.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
        with capture_logs() as lines:
            async with serving() as gateway:
                answers = [await gateway.send(HANG) for _ in range(20)]

    assert {answer.status for answer in answers} == {200}
    of_spans = [line["event"] for line in lines if line["event"].startswith("spans.")]
    assert of_spans[-1] == "spans.lost"
    assert len(of_spans) <= 2
