"""Every call of the contract on the real process, by a client that has only reflection."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ringback.contract.identity import new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.metrics.v1.metrics_service_pb2 import WatchQueueHealthRequest
from ringback.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from ringback.runtime.amqp import topology
from services.metrics.api.methods import SERVICES, methods_of
from tests.integration.metrics.metrics_process import MetricsProcess, metrics_process
from tests.support.eventually import eventually
from tests.support.reflecting_client import reflecting_client
from tests.support.tokens import bearer, token

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
ORG = uuid.UUID("0190f5c4-0000-7000-8000-00000000000a")
EVENT = {"message": {"type": "hang", "call": {"id": "call-1"}}}
NO_JOB = "01900000-0000-7000-8000-000000000000"


async def buried(database_url: str, count: int) -> list[str]:
    """This many dead letters of one org; returns their job ids."""
    job_ids = [new_job_id() for _ in range(count)]
    connection = await asyncpg.connect(database_url)
    await connection.executemany(
        """
        INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,
            attempts, max_attempts, created_at, last_attempt_at, error_class, error_message,
            call_id, gateway_instance_id)
        VALUES ($1, $2, 'default', 'hang', $3, 'dead_letter', 4, 4, now(), now(), 'E', 'It broke.',
            'call-1', gen_random_uuid())
        """,
        [(job_id, ORG, json.dumps(EVENT)) for job_id in job_ids],
    )
    await connection.close()
    return [str(job_id) for job_id in job_ids]


async def duplicated(database_url: str, first: str) -> str:
    """A duplicate of `first`; its job id."""
    job_id = new_job_id()
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """
        INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, status,
            attempts, max_attempts, created_at, gateway_instance_id, duplicate_of)
        VALUES ($1, $2, 'default', 'hang', $3, 'duplicate', 1, 4, now(), gen_random_uuid(), $4)
        """,
        *(job_id, ORG, json.dumps(EVENT), uuid.UUID(first)),
    )
    await connection.close()
    return str(job_id)


@pytest.fixture
async def metrics(
    amqp_url: str, database_url: str, tmp_path: Path
) -> AsyncIterator[MetricsProcess]:
    """The service, ready, with its first readings done."""
    await topology.apply(amqp_url, SCHEDULE)
    async with metrics_process(tmp_path, amqp_url=amqp_url, database_url=database_url) as process:
        await eventually(process.is_ready)

        async def has_read() -> bool:
            return "webhook_dead_letter_queue_size" in await process.samples()

        await eventually(has_read)
        yield process


def ask(
    process: MetricsProcess, requests: dict[str, dict[str, Any]], **terms: Any
) -> dict[str, dict[str, Any]]:
    """Each answer, or an error as `{"code": ..., "message": ...}`."""
    answers = {}
    with reflecting_client(f"127.0.0.1:{process.grpc_port}") as client:
        for service in client.services():
            if service.startswith("ringback."):
                for name in client.methods(service).keys() & requests.keys():
                    try:
                        answers[name] = client.call(service, name, requests[name], **terms)
                    except grpc.RpcError as error:
                        failed: Any = error
                        answers[name] = {"code": failed.code().name, "message": failed.details()}
    return answers


async def test_reflection_tells_all_that_is_served(metrics: MetricsProcess) -> None:
    """Our two services with all their methods, health, and reflection itself."""

    def look() -> tuple[list[str], dict[str, dict[str, bool]]]:
        with reflecting_client(f"127.0.0.1:{metrics.grpc_port}") as client:
            names = client.services()
            ours = [name for name in names if name.startswith("ringback.")]
            return names, {name: client.methods(name) for name in ours}

    names, methods = await asyncio.to_thread(look)

    assert names == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "ringback.metrics.v1.AdminService",
        "ringback.metrics.v1.MetricsService",
    ]
    served = {(service, name) for service, found in methods.items() for name in found}
    assert served == {(method.service, method.name) for method in methods_of()}


async def test_every_method_answers(metrics: MetricsProcess, database_url: str) -> None:
    """Each of the fourteen, with a token of the service role; of a stream the first answer."""
    retried, discarded = await buried(database_url, 2)
    swallowed = await duplicated(database_url, retried)
    reads: dict[str, dict[str, Any]] = {
        "GetQueueHealth": {},
        "WatchQueueHealth": {"intervalS": 1},
        "GetDeliveryStats": {"range": "24h"},
        "ListRecentFailures": {"limit": 10},
        "ListDeadLetters": {"pageSize": 1},
        "GetDelivery": {"jobId": retried},
        "ListDeliveries": {"callId": "call-1"},
        "ListFailureGroups": {},
        "RetryDeliveries": {"dryRun": True, "reason": "a try"},
    }
    changes: dict[str, dict[str, Any]] = {
        "RetryDelivery": {"jobId": retried, "reason": "mended"},
        "DiscardDeadLetter": {"jobId": discarded, "reason": "not needed"},
        "RunDuplicate": {"jobId": swallowed, "reason": "no copy"},
        "PauseProcessing": {"reason": "an upgrade"},
        "ResumeProcessing": {},
    }
    assert {method.name for method in methods_of()} == reads.keys() | changes.keys()

    read = await asyncio.to_thread(ask, metrics, reads, token=token())
    changed = await asyncio.to_thread(ask, metrics, changes, token=token(subject="ops"))

    log = metrics.log_path.read_text(encoding="utf-8")
    assert not [one for one in (read | changed).values() if "code" in one], log
    assert read["GetQueueHealth"]["metrics"] is not None
    assert read["WatchQueueHealth"]["health"]["metrics"] is not None
    assert read["GetDeliveryStats"]["summary"]["deadLetter"] == "2"
    assert [one["jobId"] for one in read["ListRecentFailures"]["failures"]] == [discarded, retried]
    assert [one["jobId"] for one in read["ListDeadLetters"]["deadLetters"]] == [discarded]
    assert read["ListDeadLetters"]["nextPageToken"]
    assert json.loads(read["GetDelivery"]["delivery"]["eventData"]) == EVENT
    assert len(read["ListDeliveries"]["deliveries"]) == 2
    assert [one["count"] for one in read["ListFailureGroups"]["groups"]] == ["2"]
    assert read["RetryDeliveries"]["matched"] == "2"
    assert changed["RetryDelivery"]["success"] is True
    assert changed["RetryDelivery"]["newJobId"] not in {retried, discarded}
    assert changed["DiscardDeadLetter"]["success"] is True
    assert changed["RunDuplicate"]["duplicateOf"] == retried
    assert changed["PauseProcessing"]["processing"]["changedBy"] == "ops"


async def test_every_method_refuses_strangers(metrics: MetricsProcess) -> None:
    """Including changes; a tenant may not make calls that need a service."""
    requests: dict[str, dict[str, Any]] = {method.name: {} for method in methods_of()}

    forged = token(secret="a secret that somebody else made up, and long")
    strangers = await asyncio.to_thread(ask, metrics, requests, token=forged)
    tenants = await asyncio.to_thread(ask, metrics, requests, token=token("tenant", ORG))

    assert len(strangers) == 14
    assert {answer["code"] for answer in strangers.values()} == {"UNAUTHENTICATED"}
    denied = {name for name, answer in tenants.items() if answer.get("code") == "PERMISSION_DENIED"}
    assert denied == {"GetQueueHealth", "WatchQueueHealth", "PauseProcessing", "ResumeProcessing"}


async def test_what_is_another_org_s_is_not_there(
    metrics: MetricsProcess, database_url: str
) -> None:
    """Another tenant gets the same answer as for a job that never existed."""
    [job_id] = await buried(database_url, 1)
    another = token("tenant", uuid.uuid4())
    own = token("tenant", ORG)
    for name in ("GetDelivery", "RetryDelivery", "DiscardDeadLetter", "RunDuplicate"):
        there = {name: {"jobId": job_id} | ({"reason": "x"} if name != "GetDelivery" else {})}
        nowhere = {name: there[name] | {"jobId": NO_JOB}}

        answer = await asyncio.to_thread(ask, metrics, there, token=another)
        nothing = await asyncio.to_thread(ask, metrics, nowhere, token=another)

        assert answer[name]["code"] == nothing[name]["code"] == "NOT_FOUND"
        assert answer[name]["message"].replace(job_id, NO_JOB) == nothing[name]["message"]
    mine = await asyncio.to_thread(ask, metrics, {"GetDelivery": {"jobId": job_id}}, token=own)
    assert mine["GetDelivery"]["delivery"]["status"] == "DELIVERY_STATUS_DEAD_LETTER"


async def test_a_watch_ends_in_order_when_the_service_stops(metrics: MetricsProcess) -> None:
    """Without an error, and without delaying the shutdown."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{metrics.grpc_port}") as channel:
        reads: Any = MetricsServiceStub(channel)
        request = WatchQueueHealthRequest(interval_s=60)
        stream = reads.WatchQueueHealth(request, metadata=(("authorization", bearer()),))
        await anext(aiter(stream))

        stopping = asyncio.create_task(metrics.stop())
        rest = [answer async for answer in stream]

        assert rest == []
        assert await stream.code() is grpc.StatusCode.OK
        assert await stopping == 0


async def test_health_is_told_for_each_service(metrics: MetricsProcess) -> None:
    """For clients without a token."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{metrics.grpc_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def serving() -> bool:
            for service in SERVICES:
                request = health_pb2.HealthCheckRequest(service=service.full_name)
                answer = await stub.Check(request)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    return False
            return True

        assert await eventually(serving)
