"""Messages that cannot be attempted become dead letters, once, and delay no others."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from ringback.contract.envelope import Envelope
from ringback.contract.topology import DEAD_LETTER_QUEUE, WEBHOOKS, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from tests.integration.processor.place import Place
from tests.integration.processor.stage import FIRST_KEY, ORG, Stage, envelope_of, scripted
from tests.support.eventually import eventually

NOBODY = UUID(int=0)
BODY = orjson.dumps(scripted("plain"))


def properties_of(envelope: Envelope, **changes: Any) -> dict[str, Any]:
    return {
        "headers": envelope.headers(),
        "message_id": str(envelope.job_id),
        "type": envelope.event_type,
    } | changes


STRANGERS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "nothing but an id": (BODY, {"message_id": "1"}),
    "rubbish with an id": (b"\x00\xff rubbish", {"message_id": "\x00\ud7ff"}),
    "a foreign id": (BODY, properties_of(envelope_of(BODY), message_id="order-7")),
    "a random uuid": (BODY, properties_of(envelope_of(BODY), message_id=str(uuid4()))),
    "no type": (BODY, properties_of(envelope_of(BODY), type=None)),
    "no headers": (BODY, properties_of(envelope_of(BODY), headers={})),
    "headers of wrong types": (
        BODY,
        properties_of(
            envelope_of(BODY),
            headers={"org_id": 7, "received_at": [1], "attempt": 2**40, "x-delivery-count": "9"},
        ),
    ),
    "an empty body": (b"", {"message_id": "2", "headers": {"error_class": {"a": 1}}}),
    "an error that nobody of ours wrote": (
        BODY,
        {
            "message_id": "3",
            "headers": {"error_class": "x\x00y", "error_message": 7, "attempt": -1},
        },
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_message_that_is_not_ours_is_recorded_once(shared: Stage, name: str) -> None:
    """It gets a row of no real org with its body and the reason, also when it comes twice."""
    body, properties = STRANGERS[name]
    before = await _strangers(shared)

    await shared.publish(body, **properties)
    await shared.publish(body, **properties)
    added = await eventually(lambda: _added(shared, before))
    await shared.until_empty(WORK_QUEUE, DEAD_LETTER_QUEUE)
    await _everything_is_settled(shared)

    [row] = added
    assert await _added(shared, before) == added
    assert (row["status"], row["endpoint_id"]) == ("dead_letter", "unknown")
    assert row["error_class"] == "undeliverable"
    assert row["error_message"].endswith(".")
    assert not await shared.runs(row["id"])


async def test_a_message_without_any_property_is_recorded_once(
    shared: Stage, broker: PrivateBroker
) -> None:
    """Only its body distinguishes such a message from others."""
    before = await _strangers(shared)

    for _ in range(2):
        await _publish_bare(broker, shared.place, "a body and nothing else")
    added = await eventually(lambda: _added(shared, before))
    await _everything_is_settled(shared)

    assert len(added) == 1
    assert await _added(shared, before) == added


@pytest.mark.parametrize(
    "body", [b"not json", b"[1]", b'{"message": {"type": 7}}', b'{"a": 1}', b"[" * 5000]
)
async def test_a_body_that_is_no_event_keeps_its_id_and_org(shared: Stage, body: bytes) -> None:
    """The webhook is ours, only its body is not: it is a dead letter under its own id."""
    envelope = envelope_of(body)

    for _ in range(2):
        await shared.publish(body, **properties_of(envelope))

    row = await shared.until(envelope.job_id, "dead_letter")
    await _everything_is_settled(shared)
    assert (row["org_id"], row["error_class"]) == (ORG, "undeliverable")
    assert row["error_message"].startswith("The ")
    assert row["event_data"] is not None


async def test_a_body_that_is_no_json_can_be_had_back(shared: Stage) -> None:
    """It is kept as base64, and the row shows that it was altered."""
    envelope = envelope_of(b"\xff\x00 not json")

    await shared.publish(b"\xff\x00 not json", **properties_of(envelope))

    row = await shared.until(envelope.job_id, "dead_letter")
    assert orjson.loads(row["event_data"]) == {"unreadable_base64": "/wAgbm90IGpzb24="}
    assert row["altered"]


async def test_a_message_without_a_binding_is_no_secret(shared: Stage) -> None:
    """A message that the exchange of webhooks cannot route is a dead letter without an attempt."""
    job_id = await shared.send(scripted("plain"), key="elsewhere")

    row = await shared.until(job_id, "dead_letter")

    assert row["error_class"] == "unknown"
    assert not await shared.attempts(job_id)


@pytest.mark.parametrize("attempt", [2**40, -1, 0, "2", True, 1.5])
async def test_an_attempt_that_cannot_be_is_no_obstacle(shared: Stage, attempt: object) -> None:
    """A dead letter is recorded whatever its attempt header contains."""
    envelope = envelope_of(BODY)
    headers = envelope.headers() | {"attempt": attempt}

    await shared.publish(BODY, key="elsewhere", **properties_of(envelope, headers=headers))

    row = await shared.until(envelope.job_id, "dead_letter", deadline_s=3)
    assert row["attempts"] == 1


async def test_an_attempt_beyond_the_schedule_runs_once_and_is_the_last(shared: Stage) -> None:
    """After the retry schedule was shortened, webhooks beyond it get this attempt and no other."""
    fails = await shared.send(scripted("plain", fail_times=99), key="attempt.9")
    succeeds = await shared.send(scripted("plain"), key="attempt.9")

    dead = await shared.until(fails, "dead_letter")
    completed = await shared.until(succeeds, "completed")

    assert (dead["attempts"], dead["error_message"]) == (9, "attempt 9 failed")
    assert completed["attempts"] == 9
    assert len(await shared.runs(fails)) == 1


async def _publish_bare(broker: PrivateBroker, place: Place, body: str) -> None:
    """Publish by the management API: an AMQP client creates an id if there is none."""
    vhost = urlsplit(place.amqp_url).path.removeprefix("/")
    async with (
        broker.management() as api,
        api.post(
            f"/api/exchanges/{vhost}/{WEBHOOKS}/publish",
            json={
                "properties": {},
                "routing_key": FIRST_KEY,
                "payload": body,
                "payload_encoding": "string",
            },
        ) as answer,
    ):
        answer.raise_for_status()


async def _strangers(stage: Stage) -> set[UUID]:
    rows = await stage.database.fetch(
        "SELECT id FROM webhook_delivery_log WHERE org_id = $1", NOBODY
    )
    return {row["id"] for row in rows}


async def _added(stage: Stage, before: set[UUID]) -> list[asyncpg.Record]:
    return await stage.database.fetch(
        "SELECT * FROM webhook_delivery_log WHERE org_id = $1 AND id <> ALL ($2)",
        NOBODY,
        list(before),
    )


async def _everything_is_settled(stage: Stage) -> None:
    """Check that a later message completes; the earlier ones are settled by then."""
    last = await stage.send(b"no event")
    await stage.until(last, "dead_letter")
