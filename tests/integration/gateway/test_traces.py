"""The spans of requests: their attributes, parents and ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aio_pika.abc import AbstractChannel
from structlog.testing import capture_logs

from chaos.fault_proxy import FaultProxy
from ringback.contract.telemetry.spans import Span
from ringback.contract.topology import WEBHOOKS, WORK_QUEUE
from ringback.local.ports import free_ports
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.collector import Collector, collecting
from tests.support.gateway_client import DEFAULT_ORG, NOBODY, PATH, SECRET, Answer, settings_for
from tests.support.trace_file import TracedSpan, outline, spans_in

HANG = b'{"message": {"type": "hang", "call": {"id": "call-1"}}}'
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
_LEAVES_WITHIN_S = 6.0
"""Three seconds of flushing, the rest of a gateway's end, and a busy machine."""


@pytest.fixture
def trace_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where gateways that are started later write their spans when they stop."""
    path = tmp_path / "traces.jsonl"
    monkeypatch.setenv("RINGBACK_TRACE_FILE", str(path))
    return path


@pytest.fixture
async def traced(
    trace_file: Path, ready_amqp_url: str, database_url: str
) -> AsyncIterator[RunningGateway]:
    """A gateway that writes its spans to the file."""
    del trace_file  # The environment names it by now.
    async with running(settings_for(ready_amqp_url, database_url)) as started:
        yield started


async def spans_after(gateway: RunningGateway, path: Path) -> list[TracedSpan]:
    """All spans of POST requests, once the gateway has stopped."""
    await gateway.ends()
    # Others are from the fixture, which polls until the gateway listens.
    posts = [one for one in spans_in(path) if one.attributes.get("http.request.method") != "GET"]
    declared = {str(one) for spec in (Span.RECEIVE, Span.PUBLISH) for one in spec.attributes}
    assert {key for one in posts for key in one.attributes} <= declared
    return posts


async def header_of_message(channel: AbstractChannel, name: str) -> object:
    queue = await channel.get_queue(WORK_QUEUE)
    message = await queue.get(timeout=5, no_ack=True)
    assert message is not None
    return message.headers.get(name)


async def test_an_accepted_webhook_is_two_spans(
    traced: RunningGateway, trace_file: Path, channel: AbstractChannel
) -> None:
    """The request and its publish, which is the parent in the message."""
    answer = await traced.send(HANG, headers={"User-Agent": "Vapi/1.0"})
    traceparent = await header_of_message(channel, "traceparent")

    receive, publish = await spans_after(traced, trace_file)

    assert outline([receive, publish]) == [f"POST {PATH}", "  publish webhooks:attempt.1"]
    assert (receive.kind, publish.kind) == ("SERVER", "PRODUCER")
    assert traceparent == f"00-{publish.trace_id}-{publish.span_id}-03"
    assert receive.began_ns <= publish.began_ns <= publish.ended_ns <= receive.ended_ns
    job_id = answer.body["jobId"]
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
        "ringback.job_id": job_id,
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
        "messaging.message.id": job_id,
        "messaging.message.body.size": str(len(HANG)),
        "ringback.job_id": job_id,
    }


async def test_the_senders_trace_is_continued(
    traced: RunningGateway, trace_file: Path, channel: AbstractChannel
) -> None:
    """The message has its trace id and state; the sender's span is the parent of ours."""
    await traced.send(HANG, headers={"traceparent": SENT, "tracestate": "vendor=1"})
    tracestate = await header_of_message(channel, "tracestate")

    receive, publish = await spans_after(traced, trace_file)

    assert (receive.trace_id, receive.parent_id) == (TRACE_ID, SPAN_ID)
    assert publish.trace_id == TRACE_ID
    assert tracestate == "vendor=1"


async def test_a_sender_that_does_not_record_is_followed(
    traced: RunningGateway, trace_file: Path, channel: AbstractChannel
) -> None:
    """No span is recorded, and the message's trace is not sampled either."""
    await traced.send(HANG, headers={"traceparent": f"{SENT[:-2]}00"})
    traceparent = str(await header_of_message(channel, "traceparent"))

    assert traceparent.startswith(f"00-{TRACE_ID}-")
    assert traceparent.endswith("-00")
    assert await spans_after(traced, trace_file) == []


@pytest.mark.parametrize("sent", ["", "x", f"00-{'0' * 32}-{SPAN_ID}-01", SENT.upper(), f"{SENT}-"])
async def test_an_invalid_trace_is_ignored(
    traced: RunningGateway, trace_file: Path, sent: str
) -> None:
    """The webhook is accepted with a new trace."""
    answer = await traced.send(HANG, headers={"traceparent": sent, "tracestate": "vendor=1"})

    receive, _ = await spans_after(traced, trace_file)
    assert answer.status == 200
    assert (receive.parent_id, receive.trace_id == TRACE_ID) == ("", False)


async def test_rejections_are_spans_without_an_error(
    traced: RunningGateway, trace_file: Path
) -> None:
    """Status and reason show the sender's error; the gateway did not fail."""
    await traced.send(HANG, secret="wrong")
    await traced.send(b"{", path=f"{PATH}?x=1")
    await traced.send(HANG, path="/elsewhere/" + "x" * 300)
    await traced.send(HANG, method="PUT")
    await traced.send(HANG, method="PROPFIND", path="/")

    spans = await spans_after(traced, trace_file)

    told = [
        (
            one.name,
            one.attributes["http.response.status_code"],
            one.attributes["ringback.rejection"],
        )
        for one in spans
    ]
    assert told == [
        (f"POST {PATH}", "401", "wrong_secret"),
        (f"POST {PATH}", "400", "not_json"),
        ("POST", "404", "not_found"),
        (f"PUT {PATH}", "405", "wrong_method"),
        ("_OTHER", "404", "not_found"),
    ]
    assert not any(one.is_error or "error.type" in one.attributes for one in spans)
    assert len(spans[2].attributes["url.path"]) == 200
    assert spans[4].attributes["http.request.method_original"] == "PROPFIND"


async def test_an_unavailable_broker_is_an_error(trace_file: Path, database_url: str) -> None:
    """Both spans have the reason."""
    nobody = f"amqp://guest:guest@127.0.0.1:{free_ports(1)[0]}/"
    async with running(settings_for(nobody, database_url)) as gateway:
        await gateway.send(HANG)
        receive, publish = await spans_after(gateway, trace_file)

    assert (receive.is_error, publish.is_error) == (True, True)
    assert receive.attributes["http.response.status_code"] == "503"
    assert receive.attributes["error.type"] == "not_connected"
    assert publish.attributes["error.type"] == "not_connected"


async def test_a_nack_is_an_error(
    traced: RunningGateway, trace_file: Path, channel: AbstractChannel
) -> None:
    """The span shows the nack."""
    queue = await channel.declare_queue(
        "full", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    )
    await queue.bind(WEBHOOKS, "attempt.*")
    await traced.send(HANG)

    receive, publish = await spans_after(traced, trace_file)

    assert [one.attributes["error.type"] for one in (receive, publish)] == ["refused", "refused"]


async def test_a_sender_that_disconnects_ends_its_span(
    traced: RunningGateway, trace_file: Path
) -> None:
    """An incomplete body is a rejection that nobody reads, and is not published."""
    await disconnect_after_the_head(traced)

    [receive] = await spans_after(traced, trace_file)

    assert receive.attributes["ringback.rejection"] == "broken_body"


async def test_a_request_that_outlasts_the_drain_ends_its_spans(
    trace_file: Path, ready_amqp_url: str, database_url: str
) -> None:
    """Cancelled requests are recorded as errors without a status."""
    async with FaultProxy.to(ready_amqp_url) as proxy:
        settings = settings_for(
            proxy.through(ready_amqp_url),
            database_url,
            gateway_drain_timeout_s="0.1",
            publish_timeout_s="20",
        )
        async with running(settings) as gateway:
            assert (await gateway.send(HANG)).status == 200
            proxy.silence()
            cut = asyncio.create_task(gateway.send(HANG))
            # After two responses, the request that was sent before them is in flight.
            for _ in range(2):
                assert await gateway.metric("webhook_total", event_type="hang") == 1
            gateway.stop.set()
            await asyncio.gather(cut, return_exceptions=True)
            proxy.release()
            spans = await spans_after(gateway, trace_file)

    receive, publish = spans[2:]
    assert [one.attributes["error.type"] for one in (receive, publish)] == ["CancelledError"] * 2
    assert publish.parent_id == receive.span_id
    assert "http.response.status_code" not in receive.attributes


async def disconnect_after_the_head(gateway: RunningGateway) -> None:
    """Send the headers, receive `100 Continue`, and disconnect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Vapi-Secret: {SECRET}\r\nExpect: 100-continue\r\n"
        "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n".encode()
    )
    assert b"100 Continue" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 60)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("collector_is", ["away", "hanging"])
async def test_responses_do_not_wait_for_the_collector(
    ready_amqp_url: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    collector_is: str,
) -> None:
    """Webhooks are accepted, shutdown is in time, and the log has at most two lines."""
    async with collecting(Collector()) as collector:
        url = collector.url if collector_is == "hanging" else f"http://{NOBODY}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with capture_logs() as lines:
            async with running(settings_for(ready_amqp_url, database_url)) as gateway:
                answers: list[Answer] = [await gateway.send(HANG) for _ in range(20)]
                async with asyncio.timeout(_LEAVES_WITHIN_S):
                    await gateway.ends()

    assert {answer.status for answer in answers} == {200}
    of_spans = [line["event"] for line in lines if line["event"].startswith("spans.")]
    assert of_spans[-1] == "spans.lost"
    assert len(of_spans) <= 2
