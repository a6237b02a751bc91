"""A webhook with a 200 response is on the broker's disk, unchanged, with its endpoint's org."""

from uuid import UUID

import asyncpg
from aio_pika.abc import AbstractChannel, DeliveryMode

from ringback import samples
from ringback.contract.envelope import Envelope, open_envelope
from ringback.contract.topology import DEAD_LETTER_QUEUE, WORK_QUEUE
from tests.integration.gateway.queue_reader import count_in, take_one
from tests.integration.gateway.running_gateway import RunningGateway
from tests.support.eventually import eventually
from tests.support.gateway_client import DEFAULT_ORG

OTHER_ORG = "5f0b1c9e-3d3a-4f55-9b0b-6f4a1f3f0c11"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_stores_the_exact_bytes_before_it_responds(
    gateway: RunningGateway, channel: AbstractChannel
) -> None:
    """Each sample gets its job id and is in the work queue unchanged."""
    for name in samples.names():
        answer = await gateway.send(samples.sample(name))

        assert answer.status == 200, name
        assert answer.body["success"] is True
        message = await take_one(channel, WORK_QUEUE)
        assert message.body == samples.sample(name), name
        assert message.message_id == answer.body["jobId"]
        assert message.routing_key == "attempt.1"
        assert message.delivery_mode is DeliveryMode.PERSISTENT
        assert message.content_type == "application/json"
    assert await count_in(channel, DEAD_LETTER_QUEUE) == 0


async def test_publishes_an_envelope_and_writes_the_pending_row(
    gateway: RunningGateway, channel: AbstractChannel, database_url: str
) -> None:
    """Properties and headers contain type, org, endpoint, time, instance, key and trace.

    Soon after the response there are a pending row without a payload and a ledger count.
    """
    answer = await gateway.send(
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
    database = await asyncpg.connect(database_url)
    try:
        row = await eventually(lambda: database.fetchrow("SELECT * FROM webhook_delivery_log"))
        accepted = await eventually(
            lambda: database.fetchval(
                "SELECT max(accepted) FROM webhook_gateway_ledger WHERE gateway_instance_id = $1",
                row["gateway_instance_id"],
            )
        )
    finally:
        await database.close()
    assert row["id"] == UUID(answer.body["jobId"])
    assert (row["status"], row["attempts"], row["max_attempts"]) == ("pending", 0, 4)
    for name in ("org_id", "endpoint_id", "dedup_key", "gateway_instance_id"):
        assert row[name] == getattr(envelope, name)
    assert row["call_id"] == "0198a000-0000-7000-8000-0000000000c1"
    assert (row["altered"], row["event_data"]) == (False, "{}")
    assert accepted == 1
    await eventually(lambda: gateway.metric("webhook_pending_rows_total", outcome="written"))
