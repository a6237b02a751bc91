"""The five published calls of the REST API, field by field, on the real service."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.integration.metrics.filled_service import FilledService, filled_service
from tests.integration.metrics.rest_client import RestClient, rest_client
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z")
PERCENTAGE = re.compile(r"\d{1,3}\.\d\d%")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    session_nodes: SessionNodes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FilledService]:
    async with filled_service(session_nodes, tmp_path_factory.mktemp("metrics")) as filled:
        yield filled


@pytest_asyncio.fixture(loop_scope="module")
async def client(service: FilledService) -> AsyncIterator[RestClient]:
    async with rest_client(service.process.rest_port) as client:
        yield client


async def ask(client: RestClient, path: str, verb: str = "GET") -> Any:
    answer = await client.ask(verb, path)
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json


def holds(document: dict[str, Any], shape: dict[str, Any]) -> None:
    """Each member of the shape exists: an exact value with its type, or a pattern of a text."""
    for name, expected in shape.items():
        value = document[name]
        if isinstance(expected, dict):
            holds(value, expected)
        elif isinstance(expected, re.Pattern):
            assert isinstance(value, str), name
            assert expected.fullmatch(value), (name, value)
        else:
            # 1 == 1.0 == True in Python, but not in the document.
            assert (type(value), value) == (type(expected), expected), name


async def test_queue_health(client: RestClient) -> None:
    """Numbers are numbers, the rate is a text with a sign, and the time has milliseconds."""

    async def read_whole() -> Any:
        """The dead letters and the last day are read separately."""
        health = await ask(client, "/queue-health")
        return health if health["metrics"]["completed"] else None

    health = await eventually(read_whole)

    holds(
        health,
        {
            "healthy": False,
            "metrics": {
                "waiting": 0,
                "active": 0,
                "completed": 1,
                "failed": 9,
                "delayed": 0,
                "paused": 0,
            },
            "stats": {"totalJobs": 0, "failureRate": "90.00%", "queueDepth": 0},
            "timestamp": TIME,
        },
    )
    broken = [check["name"] for check in health["checks"] if not check["ok"]]
    assert broken == ["failure_rate", "consumers"]


async def test_delivery_stats(client: RestClient) -> None:
    """`failed` per event type includes dead letters, that of the summary does not."""
    stats = await ask(client, "/delivery-stats?range=24h")

    holds(
        stats,
        {
            "timeRange": "24h",
            "summary": {
                "total": 12,
                "completed": 1,
                "failed": 2,
                "deadLetter": 7,
                "pending": 2,
                "successRate": "10.00%",
                "avgAttempts": "3.20",
            },
            "byEventType": {
                "call.ended": {"total": 11, "completed": 1, "failed": 8},
                "hang": {"total": 1, "completed": 0, "failed": 1},
            },
        },
    )
    assert PERCENTAGE.fullmatch(stats["summary"]["successRate"])


async def test_recent_failures(client: RestClient, service: FilledService) -> None:
    """The newest first, as many as requested."""
    recent = await ask(client, "/recent-failures?limit=2")

    assert recent["count"] == len(recent["failures"]) == 2
    for failure, job_id in zip(recent["failures"], (service.theirs, service.dead[-1]), strict=True):
        holds(
            failure,
            {
                "id": str(job_id),
                "jobId": str(job_id),
                "eventType": "call.ended",
                "status": "dead_letter",
                "attempts": 4,
                "maxAttempts": 4,
                "errorMessage": "The CRM is away.",
                "createdAt": TIME,
                "lastAttemptAt": TIME,
            },
        )


async def test_dead_letter_queue(client: RestClient, service: FilledService) -> None:
    """All of them, each with its event as JSON, not as a text that contains JSON."""
    queue = await ask(client, "/dead-letter-queue")

    assert queue["count"] == len(queue["deadLetters"]) == 7
    jobs = [letter["jobId"] for letter in queue["deadLetters"]]
    assert jobs == [str(job_id) for job_id in (service.theirs, *reversed(service.dead))]
    for letter in queue["deadLetters"]:
        holds(letter, {"status": "dead_letter", "eventData": {"message": {"text": 'ü"\n'}}})


async def test_retry_failed(client: RestClient, service: FilledService) -> None:
    """One retry of a dead letter, and the answer names the new job. Twice at once is still one."""
    path = f"/retry-failed/{service.dead[0]}"

    both = await asyncio.gather(client.ask("POST", path), client.ask("POST", path))

    done, rejected = sorted(both, key=lambda answer: answer.status)
    assert (done.status, rejected.status) == (200, 400)
    holds(done.json, {"success": True, "message": "Webhook re-queued for processing"})
    new_job_id = done.json["newJobId"]
    assert UUID(new_job_id) != service.dead[0]
    assert rejected.json["reason"] == "ALREADY_RETRIED"
    assert rejected.json["metadata"] == {"newJobId": new_job_id}
