"""Webhooks that are forwarded to URLs, with a real broker, database and processor."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest
import standardwebhooks

from ringback.contract.identity import JobId, created_at, new_job_id
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place, ProcessorProcess
from tests.integration.processor.stage import HANG, Stage, scripted
from tests.support.answering_backend import Backend, backend
from tests.support.eventually import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ODD_BODY = b'{ "message":{"type":"hang","n":1e2,"apiKey":"hush-hush-hush","t":"\\u0061\xc3\xa9"}}\n'


@pytest.fixture(name="receiver")
async def _receiver() -> AsyncIterator[Backend]:
    async with backend() as served:
        yield served


class Forwarding:
    """A processor with forwards of the endpoint `default`, each to a path of the receiver."""

    def __init__(self, receiver: Backend, folder: Path) -> None:
        self.receiver = receiver
        self.file = folder / "endpoints.json"
        self.process: ProcessorProcess

    def declare(self, **paths: str) -> None:
        forwards = [
            {
                "name": name,
                "url": self.receiver.url(path),
                "signing_secrets": SECRET,
                "allow_networks": ["127.0.0.0/8"],
                "timeout_s": 30,
            }
            for name, path in paths.items()
        ]
        document = {"endpoints": {"default": {"org_id": str(UUID(int=1)), "forward": forwards}}}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(document), "utf-8")
        new.replace(self.file)

    def count(self, path: str) -> int:
        return sum(head.startswith(f"POST {path} ".encode()) for head in self.receiver.heads)


@pytest.fixture(name="forwarding")
def _forwarding(receiver: Backend, tmp_path: Path) -> Forwarding:
    return Forwarding(receiver, tmp_path)


async def started(forwarding: Forwarding, place: Place, start: Starter, **paths: str) -> None:
    forwarding.declare(**paths)
    forwarding.process = start(place, endpoints_file=str(forwarding.file))
    await forwarding.process.ready()


async def children(stage: Stage, received: UUID) -> dict[str, asyncpg.Record]:
    rows = await stage.database.fetch(
        "SELECT * FROM webhook_delivery_log WHERE forward_of = $1 AND retry_of IS NULL", received
    )
    return {row["forward"]: row for row in rows}


async def until_sent(
    stage: Stage, received: UUID, statuses: Mapping[str, str]
) -> dict[str, asyncpg.Record]:
    """Wait until a webhook's forwards have these statuses."""

    async def there() -> dict[str, asyncpg.Record]:
        found = await children(stage, received)
        states = {name: (row["status"], row["error_message"]) for name, row in found.items()}
        assert {name: status for name, (status, _) in states.items()} == statuses, states
        return found

    return await eventually(there, deadline_s=30)


async def waits(stage: Stage) -> list[asyncpg.Record]:
    return await stage.database.fetch("SELECT * FROM webhook_waits")


async def test_two_forwards_of_which_one_fails(
    place: Place, stage: Stage, start: Starter, forwarding: Forwarding
) -> None:
    """The exact bytes arrive, signed; each forward has its own attempts and its own end."""
    await started(forwarding, place, start, crm="/answer", broken="/500")
    forwarding.receiver.answer = b'{"got": "hush-hush-hush"}'

    received = await stage.send(ODD_BODY)
    await stage.until(received, "completed")
    found = await until_sent(stage, received, {"crm": "completed", "broken": "dead_letter"})

    assert set(forwarding.receiver.bodies) == {ODD_BODY}
    assert (forwarding.count("/answer"), forwarding.count("/500")) == (1, 3)
    for head in forwarding.receiver.heads:
        lines = head.decode().split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        standardwebhooks.Webhook(SECRET).verify(ODD_BODY, headers, json_parse=False)
        assert headers["webhook-id"] == str(received)
    crm, broken = found["crm"], found["broken"]
    assert (crm["attempts"], broken["attempts"]) == (1, 3)
    assert broken["error_class"] == "http_500"
    for row in (crm, broken):
        assert created_at(JobId(row["id"])) == created_at(received)
        assert (row["event_type"], row["dedup_key"], row["endpoint_id"]) == (
            "hang",
            None,
            "default",
        )
        assert "hush-hush-hush" not in row["event_data"]
    [attempt] = await stage.attempts(crm["id"])
    answer = orjson.loads(attempt["answer"])
    assert (answer["status"], answer["is_cut"]) == (200, False)
    assert "hush" not in answer["text"]
    assert [
        orjson.loads(one["answer"])["status"] for one in await stage.attempts(broken["id"])
    ] == [
        500,
        500,
        500,
    ]
    assert await waits(stage) == []
    assert (
        await stage.database.fetchval("SELECT sum(inserted) FROM webhook_gateway_rows_deltas") == 1
    ), "The ledger of the gateways counts forwards."


SCRIPTS: list[dict[str, Any]] = [{}, {"fail_times": 9}, {"permanent": "no"}, {"sleep_s": 0.1}]


async def test_a_webhook_is_forwarded_once_whatever_its_handlers_do(
    place: Place, stage: Stage, start: Starter, forwarding: Forwarding
) -> None:
    """Redelivered messages and duplicates add nothing."""
    await started(forwarding, place, start, crm="/ok")
    sent: list[UUID] = []
    for kind in ("plain", "transaction"):
        for number, script in enumerate(SCRIPTS):
            event, received, key = scripted(kind, **script), new_job_id(), f"{kind}-{number}"
            for _ in range(3):
                await stage.send(event, job_id=received, dedup_key=key)
            sent += [received, *[await stage.send(event, dedup_key=key) for _ in range(2)]]
    events = len(sent) // 3
    await stage.until_finished(len(sent) + events)

    assert forwarding.count("/ok") == events
    for one in sent:
        row = await stage.row(one)
        assert row is not None
        # Of transactions at one moment, any may own the event.
        expected = [] if row["status"] == "duplicate" else ["crm"]
        assert list(await children(stage, one)) == expected


RETRY = "SELECT verdict FROM {}($1, $2, 3, 'ada', 'operator', 'because', NULL, '{{}}')"


async def test_a_manual_retry_forwards_only_what_was_not_forwarded(
    place: Place, stage: Stage, start: Starter, forwarding: Forwarding
) -> None:
    """Not a dead letter, whose forwards were sent; but a duplicate that is run after all."""
    await started(forwarding, place, start, crm="/ok")
    dead = await stage.send(scripted("plain", permanent="no"), dedup_key="k")
    await stage.until(dead, "dead_letter")
    copy = await stage.send(scripted("plain"), dedup_key="k")
    await stage.until(copy, "duplicate")
    await until_sent(stage, dead, {"crm": "completed"})

    retried, run = new_job_id(), new_job_id()
    for function, job, new in (
        ("retry_webhook", dead, retried),
        ("run_duplicate_webhook", copy, run),
    ):
        verdict = await stage.database.fetchval(RETRY.format(function), job, new)
        assert verdict == "retried"
        await stage.send(scripted("plain"), job_id=new, retry_of=job)
        await stage.until(new, "completed")
    await until_sent(stage, copy, {"crm": "completed"})

    assert forwarding.count("/ok") == 2
    assert await children(stage, retried) == await children(stage, run) == {}


async def test_a_retried_forward_keeps_the_id_of_the_received_webhook(
    place: Place, stage: Stage, start: Starter, forwarding: Forwarding
) -> None:
    await started(forwarding, place, start, crm="/410")
    received = await stage.send(HANG)
    found = await until_sent(stage, received, {"crm": "dead_letter"})
    assert found["crm"]["error_class"] == "http_410"
    assert forwarding.count("/410") == 1
    forwarding.declare(crm="/ok")
    await eventually(lambda: forwarding.process.lines("endpoints.reloaded"))

    new = new_job_id()
    await stage.database.fetch(RETRY.format("retry_webhook"), found["crm"]["id"], new)
    row = await stage.row(new)
    assert row is not None
    assert (row["forward"], row["forward_of"]) == ("crm", received)
    await stage.send(
        HANG, job_id=new, retry_of=found["crm"]["id"], forward="crm", forward_of=received
    )
    await stage.until(new, "completed")

    assert f"webhook-id: {received}" in forwarding.receiver.heads[-1].decode()


async def test_a_processor_that_is_killed_while_a_receiver_hangs_sends_again(
    place: Place, stage: Stage, start: Starter, forwarding: Forwarding
) -> None:
    """The webhook ends once; the receiver knows it by its id."""
    await started(forwarding, place, start, crm="/hang")
    received = await stage.send(HANG)
    await eventually(lambda: forwarding.count("/hang") == 1)

    forwarding.process.kill()
    forwarding.receiver.release.set()
    await started(forwarding, place, start, crm="/hang")
    found = await until_sent(stage, received, {"crm": "completed"})

    assert len(await stage.attempts(found["crm"]["id"])) == 1
    assert set(forwarding.receiver.bodies) == {orjson.dumps(HANG)}
