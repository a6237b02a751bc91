"""A webhook with a 200 response is on the broker's disk, unchanged, with its endpoint's org."""

import json
from uuid import UUID

import asyncpg
import pytest
from aio_pika.abc import AbstractChannel, DeliveryMode

from ringback import samples
from ringback.contract.envelope import Envelope, open_envelope
from ringback.contract.json_text import read_json
from ringback.contract.redaction.redaction import redaction_by
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from tests.integration.gateway.queue_reader import count_in, take_one
from tests.integration.gateway.running_gateway import RunningGateway, running
from tests.support.eventually import eventually
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET, settings_for

OTHER_ORG = "5f0b1c9e-3d3a-4f55-9b0b-6f4a1f3f0c11"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("name", samples.names())
async def test_stores_the_exact_bytes_before_it_responds(
    gateway: RunningGateway, channel: AbstractChannel, name: str
) -> None:
    """Each sample gets its job id and is in the work queue unchanged."""
    answer = await gateway.send(samples.sample(name))

    assert answer.status == 200
    assert answer.body["success"] is True
    message = await take_one(channel, WORK_QUEUE)
    assert message.body == samples.sample(name)
    assert message.message_id == answer.body["jobId"]
    assert message.routing_key == "attempt.1"
    assert message.delivery_mode is DeliveryMode.PERSISTENT
    assert message.content_type == "application/json"


async def test_publishes_an_envelope_that_the_processor_can_open(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """Properties and headers contain type, org, endpoint, time, instance, key and trace."""
    await gateway.send(
        samples.sample("end-of-call-report"),
        headers={"traceparent": TRACEPARENT, "tracestate": "a=b"},
    )

    message = await take_one(channel, WORK_QUEUE)
    envelope = open_envelope(
        message_id=message.message_id, event_type=message.type, headers=message.headers
    )
    assert isinstance(envelope, Envelope)
    assert envelope.event_type == "end-of-call-report"
    assert envelope.org_id == UUID(DEFAULT_ORG)
    assert envelope.endpoint_id == "default"
    assert envelope.dedup_key == "end-of-call-report|0198a000-0000-7000-8000-0000000000c1"
    assert envelope.trace.traceparent == TRACEPARENT
    assert envelope.trace.tracestate == "a=b"
    assert message.timestamp is not None
    assert abs((envelope.received_at - message.timestamp).total_seconds()) < 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": {"type": "never.heard.of"}}',
        b'{"type": "hang"}',
        b'{"message": {"type": "transcript[transcriptType=\\"final\\"]", "call": null}}',
        b'{"message": "a text", "type": "hang"}',
    ],
    ids=["unknown type", "older shape", "bracketed type", "message is no object"],
)
async def test_accepts_every_format_in_use(gateway: RunningGateway, body: bytes) -> None:
    """Both formats, and unknown types."""
    answer = await gateway.send(body)

    assert answer.status == 200


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.vapi+json", "TEXT/X+JSON"]
)
async def test_accepts_json_under_its_other_names(
    gateway: RunningGateway, content_type: str
) -> None:
    """Parameters, other */*+json types and capitals are accepted."""
    answer = await gateway.send(b'{"type": "hang"}', headers={"Content-Type": content_type})

    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Vapi-Secret": "old"},
        {"Authorization": "Bearer new"},
        {"Authorization": "bearer  new "},
        {"X-Vapi-Secret": "", "Authorization": "Bearer old"},
    ],
    ids=["secret", "bearer", "bearer, sloppy", "bearer beside an empty secret"],
)
async def test_accepts_any_valid_secret_for_the_org_of_the_endpoint(
    ready_amqp_url: str, database_url: str, channel: AbstractChannel, headers: dict[str, str]
) -> None:
    """Old and new secrets are valid; the org is the endpoint's, not the body's."""
    endpoints = {"acme": {"org_id": OTHER_ORG, "secret": ["new", "old"]}}
    settings = settings_for(ready_amqp_url, database_url, endpoints=json.dumps(endpoints))
    body = json.dumps({"message": {"type": "hang", "org_id": DEFAULT_ORG}}).encode()

    async with running(settings) as gateway:
        answer = await gateway.send(body, path=f"{PATH}/acme", secret=None, headers=headers)

    assert answer.status == 200
    message = await take_one(channel, WORK_QUEUE)
    assert message.headers["org_id"] == OTHER_ORG
    assert message.headers["endpoint_id"] == "acme"


async def test_accepts_everything_if_allowed(ready_amqp_url: str, database_url: str) -> None:
    """RINGBACK_ALLOW_UNAUTHENTICATED opens an endpoint without a secret."""
    settings = settings_for(
        ready_amqp_url, database_url, vapi_secret=" ", allow_unauthenticated="true"
    )

    async with running(settings) as gateway:
        answer = await gateway.send(b'{"type": "hang"}', secret=None)

    assert answer.status == 200


async def test_a_binary_trace_header_is_ignored(gateway: RunningGateway) -> None:
    """Bytes that are not UTF-8 in a trace header are no error."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-Vapi-Secret: {SECRET}\r\nTraceparent: {TRACEPARENT}\r\nContent-Length: 15\r\n"
        "Connection: close\r\nTracestate: "
    ).encode() + b"a=\xff\xfe\r\n\r\n"

    answer = await gateway.send_raw(head + b'{"type":"hang"}')

    assert answer.startswith(b"HTTP/1.1 200")


async def test_writes_the_pending_row_and_the_ledger(
    gateway: RunningGateway, database_url: str
) -> None:
    """Soon after the response there are a pending row without credentials and a ledger count."""
    answer = await gateway.send(samples.sample("status-update-ended"))

    database = await asyncpg.connect(database_url)
    try:
        row = await eventually(
            lambda: database.fetchrow("SELECT * FROM webhook_delivery_log"),
        )
        accepted = await eventually(
            lambda: database.fetchval(
                "SELECT max(accepted) FROM webhook_gateway_ledger WHERE gateway_instance_id = $1",
                row["gateway_instance_id"],
            )
        )
    finally:
        await database.close()
    assert row["id"] == UUID(answer.body["jobId"])
    assert row["status"] == "pending"
    assert row["max_attempts"] == 4
    assert row["attempts"] == 0
    assert row["org_id"] == UUID(DEFAULT_ORG)
    assert row["endpoint_id"] == "default"
    assert row["call_id"] == "0198a000-0000-7000-8000-0000000000c1"
    assert row["dedup_key"] == "status-update|0198a000-0000-7000-8000-0000000000c1|ended"
    assert row["altered"] is False
    kept = redaction_by("defaults").of(read_json(samples.sample("status-update-ended")))
    assert kept.hidden
    assert json.loads(row["event_data"]) == kept.value
    assert accepted == 1
    await eventually(lambda: gateway.metric("webhook_pending_rows_total", outcome="written"))


async def test_counts_accepted_webhooks_by_type(gateway: RunningGateway) -> None:
    """webhook_total has a series per known type; unknown types share one."""
    await gateway.send(samples.sample("hang"))
    await gateway.send(b'{"type": "stranger"}')
    await gateway.send(b'{"type": "stranger-still"}')

    assert await gateway.metric("webhook_total", event_type="hang") == 1
    assert await gateway.metric("webhook_total", event_type="other") == 2
    assert await gateway.metric("ringback_broker_connected") == 1


async def test_webhooks_do_not_go_to_the_dead_letters(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """They are routed to the work queue, not to the alternate exchange."""
    await gateway.send(samples.sample("hang"))

    await take_one(channel, WORK_QUEUE)
    assert await count_in(channel, DEAD_LETTER_QUEUE) == 0
