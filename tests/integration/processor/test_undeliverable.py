"""Messages that cannot be attempted are dead letters; bodies that cannot be stored are not."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from ringback.contract.envelope import Envelope
from ringback.contract.topology import DEAD_LETTER_QUEUE, WEBHOOKS, WORK_QUEUE
from ringback.local.broker import PrivateBroker
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


FOREIGN: list[tuple[bytes, dict[str, Any]]] = [
    (BODY, {"message_id": "1"}),
    (b"\x00\xff rubbish", {"message_id": "\x00\ud7ff"}),
    (BODY, properties_of(envelope_of(BODY), message_id=str(uuid4()))),
    (BODY, properties_of(envelope_of(BODY), type=None)),
    (BODY, properties_of(envelope_of(BODY), headers={"org_id": 7, "received_at": [1]})),
    (b"", {"message_id": "2", "headers": {"error_class": {"a": 1}, "attempt": 2**40}}),
    (BODY, {"message_id": "3", "headers": {"error_class": "x\x00y", "error_message": 7}}),
]


async def _foreign_rows(stage: Stage) -> list[asyncpg.Record]:
    return await stage.database.fetch(
        "SELECT * FROM webhook_delivery_log WHERE org_id = $1", NOBODY
    )


async def test_foreign_messages_are_recorded_once_each(
    shared: Stage, broker: PrivateBroker
) -> None:
    """A row without an org has the body and the reason, also if the message comes twice."""
    vhost = urlsplit(shared.place.amqp_url).path.removeprefix("/")
    before = {row["id"] for row in await _foreign_rows(shared)}
    for _ in range(2):
        for body, properties in FOREIGN:
            await shared.publish(body, **properties)
        # Without any property: an AMQP client would create an id.
        bare = {"properties": {}, "routing_key": FIRST_KEY, "payload": "only a body",
                "payload_encoding": "string"}  # fmt: skip
        path = f"/api/exchanges/{vhost}/{WEBHOOKS}/publish"
        async with broker.management() as api, api.post(path, json=bare) as answer:
            answer.raise_for_status()

    async def added() -> list[asyncpg.Record]:
        rows = [row for row in await _foreign_rows(shared) if row["id"] not in before]
        assert len(rows) >= len(FOREIGN) + 1
        return rows

    await eventually(added)
    await shared.until_empty(WORK_QUEUE, DEAD_LETTER_QUEUE)
    last = await shared.send(b"no event")
    await shared.until(last, "dead_letter")
    rows = await added()
    assert len(rows) == len(FOREIGN) + 1
    for row in rows:
        assert (row["status"], row["endpoint_id"]) == ("dead_letter", "unknown")
        assert row["error_class"] in {"undeliverable", "x�y"}
        assert not await shared.runs(row["id"])


@pytest.mark.parametrize("attempt", [2**40, "2", None])
async def test_a_message_that_the_exchange_cannot_route_is_a_dead_letter(
    shared: Stage, attempt: object
) -> None:
    """It is recorded without an attempt, whatever its attempt header contains."""
    envelope = envelope_of(BODY)
    headers = envelope.headers() | ({} if attempt is None else {"attempt": attempt})

    await shared.publish(BODY, key="elsewhere", **properties_of(envelope, headers=headers))

    row = await shared.until(envelope.job_id, "dead_letter")
    assert (row["attempts"], row["error_class"]) == (1 if attempt else row["attempts"], "unknown")
    assert not await shared.attempts(envelope.job_id)


_HEAD = '"type":"hang","call":{"id":"hostile"}'
_NASTY = r"x\u0000\ud800y"
HOSTILE = [
    rf'{{"message":{{{_HEAD},"a":"x\u0000y"}}}}',
    rf'{{"message":{{{_HEAD},"x\u0000y":1}}}}',
    rf'{{"message":{{{_HEAD},"a":"\ud800"}}}}',
    f'{{"message":{{{_HEAD},"a":1e400000}}}}',
    f'{{"message":{{{_HEAD},"a":1e130000}}}}',
    f'{{"message":{{{_HEAD},"a":1e-400000}}}}',
    f'{{"message":{{{_HEAD},"a":{"9" * 10_000}}}}}',
    f'{{"message":{{{_HEAD},"a":1,"a":2}}}}',
    (
        f'{{"message":{{"type":"end-of-call-report","call":{{"id":"{_NASTY}","type":"{_NASTY}"}},'
        f'"summary":"{_NASTY}","endedReason":"{_NASTY}","transcript":"{_NASTY}","cost":1e308,'
        f'"durationSeconds":-1e-320,"startedAt":"0001-01-01T00:00:00+14:00","timestamp":1e999}}}}'
    ),
]


async def test_bodies_that_jsonb_cannot_store_are_completed_and_marked(shared: Stage) -> None:
    """They share a commit with others, and each gets its own end. Texts of calls are cleaned."""
    bodies = [body.encode() for nasty in HOSTILE for body in (nasty, '{"message":{"type":"hang"}}')]
    jobs = [await shared.send(body) for body in bodies]

    rows = [await shared.until(job_id, "completed") for job_id in jobs]

    assert [row["altered"] for row in rows] == [True, False] * len(HOSTILE)
    assert all(row["attempts"] == 1 and len(row["event_data"]) < 11_000 for row in rows)
    call = await shared.database.fetchrow(
        "SELECT * FROM voice_calls WHERE org_id = $1 AND call_id = $2", ORG, rows[-2]["call_id"]
    )
    assert call is not None
    assert call["summary"] == call["transcript"] == "x��y"
