"""A gateway that relays the questions which its endpoint declares."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ringback.contract.telemetry.questions import QuestionMetric
from ringback.services.gateway.webhook import AcceptedWebhook
from tests.support.answering_backend import Backend, backend
from tests.support.eventually import eventually
from tests.unit.gateway.serving import ServedGateway, serving

PATH = "/api/webhooks/vapi/acme"


def event(event_type: str, call_id: str = "call-1") -> bytes:
    return orjson.dumps({"message": {"type": event_type, "call": {"id": call_id}}})


@pytest.fixture(name="answering")
async def _answering() -> AsyncGenerator[Backend, None]:
    async with backend() as served:
        served.answer = b'{"assistantId": "a"}'
        yield served


@pytest.fixture(name="gateway")
async def _gateway(answering: Backend, tmp_path: Path) -> AsyncGenerator[ServedGateway, None]:
    """Only few requests may be in flight; questions do not count. No backend takes too long."""
    endpoint: dict[str, Any] = {
        "org_id": "5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001",
        "secret": "a-secret-of-tests",
        "questions": {
            "assistant-request": {"url": answering.url("/answer")},
            "tool-calls": {"url": answering.url("/hang"), "timeout_s": 300},
            "handoff-destination-request": {"url": answering.url("/hang"), "timeout_s": 300},
            "campaign.predial": {"url": answering.url("/201")},
            "knowledge-base-request": {"url": answering.url("/500")},
        },
    }
    file = tmp_path / "endpoints.json"
    file.write_text(json.dumps({"endpoints": {"acme": endpoint}}))
    async with serving(
        endpoints_file=str(file),
        outgoing_networks="127.0.0.0/8",
        max_in_flight="2",
        gateway_drain_timeout_s="5",
    ) as started:
        yield started


async def test_a_question_gets_its_answer_and_is_in_no_queue(
    gateway: ServedGateway, answering: Backend
) -> None:
    got = await gateway.send(event("assistant-request"), path=PATH)

    assert (got.status, got.body) == (200, {"assistantId": "a"})
    assert got.headers["Content-Type"] == "application/json"
    assert answering.bodies == [event("assistant-request")]
    [row] = await eventually(lambda: gateway.log.questions)
    assert row.webhook.body == event("assistant-request")
    assert not gateway.broker.published
    assert not gateway.log.rows


async def test_a_failing_backend_does_not_fail_the_call(gateway: ServedGateway) -> None:
    """And the status of one that answers goes back."""
    failed = await gateway.send(event("knowledge-base-request"), path=PATH)
    other = await gateway.send(event("campaign.predial"), path=PATH)

    assert (failed.status, failed.body) == (200, {"documents": []})
    assert (other.status, other.body) == (201, {})


async def test_other_events_are_stored_as_before(
    gateway: ServedGateway, answering: Backend
) -> None:
    """Also questions that this endpoint or another one does not declare, with the secret only."""
    sent = [(event("hang"), PATH), (event("transfer-destination-request"), PATH)]
    sent.append((event("assistant-request"), "/api/webhooks/vapi"))
    answers = [await gateway.send(body, path=path) for body, path in sent]
    refused = await gateway.send(event("assistant-request"), path=PATH, secret="wrong")

    assert all(got.status == 200 and got.body["success"] for got in answers)
    assert [body for _, body in gateway.broker.published] == [body for body, _ in sent]
    assert refused.status == 401
    assert not answering.bodies


async def test_waiting_questions_do_not_keep_events_out(
    gateway: ServedGateway, answering: Backend
) -> None:
    waiting = [
        asyncio.create_task(gateway.send(event("tool-calls", str(number)), path=PATH))
        for number in range(5)
    ]
    await eventually(lambda: len(answering.heads) == 5)

    got = await gateway.send(event("hang"), path=PATH)
    answering.release.set()
    await asyncio.gather(*waiting)

    assert got.status == 200
    assert (
        gateway.metric(QuestionMetric.QUESTIONS.name, event_type="tool-calls", outcome="answered")
        == 5
    )


@pytest.fixture(name="new_objects")
def _new_objects() -> Iterator[Callable[[], list[Any]]]:
    """Lists only what was created in this test: all objects are many."""
    gc.freeze()
    yield gc.get_objects
    gc.unfreeze()


async def test_repeated_questions_that_wait_keep_no_bodies(
    gateway: ServedGateway, answering: Backend, new_objects: Callable[[], list[Any]]
) -> None:
    """The limit of bodies in flight counts only the first one."""
    message = {"type": "handoff-destination-request", "call": {"id": "asked-six-times"}}
    body = orjson.dumps({"message": {**message, "timestamp": 1}})
    waiting = [asyncio.create_task(gateway.send(body, path=PATH)) for _ in range(6)]

    def webhooks() -> list[AcceptedWebhook]:
        kept = [one for one in new_objects() if isinstance(one, AcceptedWebhook)]
        return [one for one in kept if one.call_id == "asked-six-times"]

    await eventually(lambda: len(webhooks()) >= 6)
    bodies = [one.body for one in webhooks() if one.body]
    answering.release.set()
    answers = await asyncio.gather(*waiting)

    assert bodies == [body]
    assert [got.body for got in answers] == [{}] * 6
    assert answering.bodies == [body]


async def test_a_question_that_waits_gets_the_fallback_when_the_gateway_stops(
    gateway: ServedGateway, answering: Backend
) -> None:
    """The caller is on a live call; the backend may take longer than the gateway has left."""
    waiting = asyncio.create_task(gateway.send(event("tool-calls"), path=PATH))
    await eventually(lambda: answering.heads)

    gateway.stop.set()
    got = await waiting

    assert (got.status, got.body) == (200, {"results": []})
    assert (
        gateway.metric(QuestionMetric.QUESTIONS.name, event_type="tool-calls", outcome="stopping")
        == 1
    )
