"""The five published calls of the REST API, field by field, on the real service."""

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.integration.metrics.filled_service import FilledService, filled_service
from tests.integration.metrics.rest_client import RestClient, rest_client
from tests.support.eventually import eventually
from tests.support.session_nodes import SessionNodes

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z")
PERCENTAGE = re.compile(r"\d{1,3}\.\d\d%")


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


async def check_queue_health(client: RestClient) -> None:
    """Numbers are numbers, the rate is a text with a sign, and the time has milliseconds."""

    async def read_whole() -> Any:
        """The dead letters, the waits and the last day are read separately."""
        health = await ask(client, "/queue-health")
        return health if health["metrics"]["completed"] and health["waits"]["total"] else None

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
                "delayed": 4,
                "paused": 0,
            },
            "stats": {"totalJobs": 4, "failureRate": "90.00%", "queueDepth": 0},
            "timestamp": TIME,
            "waits": {"total": 4, "oldestOverdueS": 0.0},
        },
    )
    assert health["waits"]["byReason"] == [
        {"reason": "destination", "count": 1, "oldestOverdueS": 0.0},
        {"reason": "retry", "count": 3, "oldestOverdueS": 0.0},
    ]
    broken = [check["name"] for check in health["checks"] if not check["ok"]]
    assert broken == ["failure_rate", "consumers"]


async def check_delivery_stats(client: RestClient) -> None:
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


async def check_recent_failures(client: RestClient, service: FilledService) -> None:
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


async def check_dead_letter_queue(client: RestClient, service: FilledService) -> None:
    """All of them, each with its event as JSON, not as a text that contains JSON."""
    queue = await ask(client, "/dead-letter-queue")

    assert queue["count"] == len(queue["deadLetters"]) == 7
    jobs = [letter["jobId"] for letter in queue["deadLetters"]]
    assert jobs == [str(job_id) for job_id in (service.theirs, *reversed(service.dead))]
    for letter in queue["deadLetters"]:
        holds(letter, {"status": "dead_letter", "eventData": {"message": {"text": 'ü"\n'}}})


async def check_retry_failed(client: RestClient, service: FilledService) -> None:
    """One retry of a dead letter, and the answer names the new job. Twice at once is still one."""
    path = f"/retry-failed/{service.dead[0]}"

    both = await asyncio.gather(client.ask("POST", path), client.ask("POST", path))

    done, rejected = sorted(both, key=lambda answer: answer.status)
    assert (done.status, rejected.status) == (200, 409)
    holds(done.json, {"success": True, "message": "Webhook re-queued for processing"})
    new_job_id = done.json["newJobId"]
    assert UUID(new_job_id) != service.dead[0]
    assert rejected.json["reason"] == "ALREADY_RETRIED"
    assert rejected.json["metadata"] == {"newJobId": new_job_id}


async def test_the_five_published_calls(session_nodes: SessionNodes, tmp_path: Path) -> None:
    async with (
        filled_service(session_nodes, tmp_path) as service,
        rest_client(service.process.rest_port) as client,
    ):
        await check_queue_health(client)
        await check_delivery_stats(client)
        await check_recent_failures(client, service)
        await check_dead_letter_queue(client, service)
        await check_retry_failed(client, service)
