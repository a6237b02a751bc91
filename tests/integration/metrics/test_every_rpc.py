"""Every RPC with good and bad requests, by gRPC and by REST: both answer the same."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.contract.identity import new_job_id
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from services.metrics.transport.methods import methods_of
from tests.integration.metrics.both_transports import Outcome, Refused, by_grpc, by_rest, comparable
from tests.integration.metrics.filled_service import (
    EVENT,
    OURS,
    THEIRS,
    FilledService,
    filled_service,
    plain,
)
from tests.support.session_nodes import SessionNodes
from tests.support.tokens import bearer

# One service for all of them: they use different webhooks.
pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = {method.name: method for method in methods_of()}
NOWHERE = str(new_job_id())
SERVICE = bearer()
TENANT = bearer("tenant", OURS)
FORGED = bearer(secret="a secret that somebody else made up, and long")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(
    session_nodes: SessionNodes, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FilledService]:
    async with filled_service(session_nodes, tmp_path_factory.mktemp("metrics")) as filled:
        yield filled


async def both(
    service: FilledService,
    name: str,
    request: Message,
    rest_request: Message | None = None,
    *,
    authorization: str | None = SERVICE,
) -> tuple[Outcome, Outcome]:
    """A change is requested for two equal webhooks, one by each transport."""
    method = METHODS[name]
    rest_request = request if rest_request is None else rest_request
    return (
        await by_grpc(service.process, method, request, authorization=authorization),
        await by_rest(service.process, method, rest_request, authorization=authorization),
    )


def one(outcome: Outcome) -> Any:
    assert isinstance(outcome, tuple)
    [answer] = outcome
    return answer


@dataclass(frozen=True, slots=True)
class Query:
    """A call that changes nothing, and the fields of its answer that vary between calls."""

    name: str
    request: Callable[[FilledService], Message]
    volatile: tuple[str, ...] = ()


def moment(text: str) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromJsonString(text)
    return timestamp


QUERIES = [
    Query("GetQueueHealth", lambda _: metrics.GetQueueHealthRequest(), ("timestamp",)),
    Query("WatchQueueHealth", lambda _: metrics.WatchQueueHealthRequest(), ("timestamp",)),
    Query(
        "WatchQueueHealth",
        lambda _: metrics.WatchQueueHealthRequest(interval_s=2.5),
        ("timestamp",),
    ),
    Query(
        "GetDeliveryStats",
        lambda _: metrics.GetDeliveryStatsRequest(range="30d"),
        ("start_time", "end_time"),
    ),
    Query(
        "GetDeliveryStats",
        lambda _: metrics.GetDeliveryStatsRequest(org_id=str(THEIRS)),
        ("start_time", "end_time"),
    ),
    Query("ListRecentFailures", lambda _: metrics.ListRecentFailuresRequest(limit=3)),
    Query("ListDeadLetters", lambda _: metrics.ListDeadLettersRequest(page_size=2)),
    Query(
        "ListDeadLetters", lambda _: metrics.ListDeadLettersRequest(error_class="ConnectionError")
    ),
    Query("GetDelivery", lambda given: metrics.GetDeliveryRequest(job_id=str(given.completed))),
    Query("GetDelivery", lambda given: metrics.GetDeliveryRequest(job_id=str(given.theirs))),
    Query("ListDeliveries", lambda _: metrics.ListDeliveriesRequest(page_size=2)),
    Query(
        "ListDeliveries",
        lambda _: metrics.ListDeliveriesRequest(
            status=delivery.DELIVERY_STATUS_FAILED,
            event_type="hang",
            call_id="call-1",
            start_time=moment("2026-01-01T00:00:00Z"),
            end_time=moment("2100-01-01T00:00:00.123456Z"),
        ),
    ),
    Query("ListFailureGroups", lambda _: metrics.ListFailureGroupsRequest()),
    Query(
        "RetryDeliveries",
        lambda _: admin.RetryDeliveriesRequest(
            filter=admin.DeadLetterFilter(event_type="call.ended", org_id=str(OURS)),
            dry_run=True,
            reason="Look first.",
        ),
    ),
]


@pytest.mark.parametrize("authorization", [SERVICE, TENANT], ids=["service", "tenant"])
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
async def test_a_query_answers_the_same(
    service: FilledService, query: Query, authorization: str
) -> None:
    """Field by field, for a service and for a tenant; REST has the whole message."""
    grpc_answer, rest_answer = await both(
        service, query.name, query.request(service), authorization=authorization
    )

    assert comparable(rest_answer, *query.volatile) == comparable(grpc_answer, *query.volatile)
    if authorization is SERVICE:
        assert not isinstance(grpc_answer, Refused)


async def test_a_page_token_works_by_either_transport(service: FilledService) -> None:
    """A token from one transport works with the other."""
    first, same_first = await both(
        service, "ListDeadLetters", metrics.ListDeadLettersRequest(page_size=2)
    )
    token = one(first).next_page_token

    second, same_second = await both(
        service, "ListDeadLetters", metrics.ListDeadLettersRequest(page_size=2, page_token=token)
    )

    assert token
    assert comparable(same_first) == comparable(first)
    assert comparable(same_second) == comparable(second)
    assert comparable(second) != comparable(first)


async def test_an_event_is_the_same_to_the_last_digit(service: FilledService) -> None:
    """REST shows as JSON what gRPC sends as text."""
    request = metrics.GetDeliveryRequest(job_id=str(service.completed))
    answer = await by_grpc(service.process, METHODS["GetDelivery"], request, authorization=SERVICE)
    text = one(answer).delivery.event_data

    url = f"http://127.0.0.1:{service.process.rest_port}/api/webhook-metrics/deliveries/{request.job_id}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Authorization": SERVICE}) as shown,
    ):
        document: Any = plain(await shown.text())

    assert plain(text) == plain(EVENT) == document["delivery"]["eventData"]


@dataclass(frozen=True, slots=True)
class Command:
    """A call that is made for one webhook, and then again for the same one."""

    name: str
    request: Callable[[str], Message]
    again: str


COMMANDS = [
    Command(
        "RetryDelivery",
        lambda job_id: admin.RetryDeliveryRequest(job_id=job_id, reason="The CRM is back."),
        "ALREADY_RETRIED",
    ),
    Command(
        "DiscardDeadLetter",
        lambda job_id: admin.DiscardDeadLetterRequest(job_id=job_id, reason="Not needed."),
        "DISCARDED",
    ),
    Command(
        "RunDuplicate",
        lambda job_id: admin.RunDuplicateRequest(job_id=job_id, reason="It is no copy."),
        "ALREADY_RETRIED",
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
async def test_a_command_runs_once_and_is_then_rejected_the_same(
    service: FilledService, command: Command
) -> None:
    """Done for one of two equal webhooks by each transport, and refused the second time."""
    first = 2 * COMMANDS.index(command)
    is_run = command.name == "RunDuplicate"
    pair = service.duplicates if is_run else service.dead[first : first + 2]
    for_grpc, for_rest = map(str, pair)

    done = await both(service, command.name, command.request(for_grpc), command.request(for_rest))
    again = await both(service, command.name, command.request(for_grpc), command.request(for_rest))

    assert comparable(done[1], "new_job_id") == comparable(done[0], "new_job_id")
    grpc_answer, rest_answer = again
    assert isinstance(grpc_answer, Refused)
    assert isinstance(rest_answer, Refused)
    assert (grpc_answer.code, grpc_answer.reason) == ("FAILED_PRECONDITION", command.again)
    assert (rest_answer.code, rest_answer.reason) == (grpc_answer.code, grpc_answer.reason)
    assert rest_answer.metadata.keys() == grpc_answer.metadata.keys()
    assert (grpc_answer.resource, rest_answer.resource) == (
        ("delivery", for_grpc),
        ("delivery", for_rest),
    )


async def test_a_pause_is_the_same(service: FilledService) -> None:
    """Paused by one and by the other, which then changes nothing; and back."""
    paused = await both(service, "PauseProcessing", admin.PauseProcessingRequest(reason="Upgrade."))
    resumed = await both(service, "ResumeProcessing", admin.ResumeProcessingRequest())

    for grpc_answer, rest_answer in (paused, resumed):
        assert not isinstance(grpc_answer, Refused)
        assert comparable(rest_answer) == comparable(grpc_answer)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("authorization", [None, FORGED], ids=["no token", "a forged one"])
async def test_a_caller_without_a_valid_token_is_rejected_the_same(
    service: FilledService, name: str, authorization: str | None
) -> None:
    """Every RPC answers UNAUTHENTICATED with the same text."""
    request = METHODS[name].request_class(**({"job_id": NOWHERE} if _has_job(name) else {}))

    grpc_answer, rest_answer = await both(service, name, request, authorization=authorization)

    assert isinstance(grpc_answer, Refused)
    assert grpc_answer.code == "UNAUTHENTICATED"
    assert rest_answer == grpc_answer


@pytest.mark.parametrize(
    ("name", "request_", "code"),
    [
        ("GetQueueHealth", metrics.GetQueueHealthRequest(), "PERMISSION_DENIED"),
        ("WatchQueueHealth", metrics.WatchQueueHealthRequest(), "PERMISSION_DENIED"),
        ("PauseProcessing", admin.PauseProcessingRequest(reason="x"), "PERMISSION_DENIED"),
        ("ResumeProcessing", admin.ResumeProcessingRequest(), "PERMISSION_DENIED"),
        ("GetDelivery", metrics.GetDeliveryRequest(job_id=NOWHERE), "NOT_FOUND"),
        ("GetDelivery", metrics.GetDeliveryRequest(job_id=str(UUID(int=2**128 - 1))), "NOT_FOUND"),
        ("GetDelivery", metrics.GetDeliveryRequest(job_id="nonsense"), "INVALID_ARGUMENT"),
        ("RetryDelivery", admin.RetryDeliveryRequest(job_id=NOWHERE), "NOT_FOUND"),
        (
            "DiscardDeadLetter",
            admin.DiscardDeadLetterRequest(job_id=NOWHERE, reason="x"),
            "NOT_FOUND",
        ),
        ("DiscardDeadLetter", admin.DiscardDeadLetterRequest(job_id=NOWHERE), "INVALID_ARGUMENT"),
        ("RunDuplicate", admin.RunDuplicateRequest(job_id=NOWHERE, reason="x"), "NOT_FOUND"),
        ("RunDuplicate", admin.RunDuplicateRequest(job_id=NOWHERE), "INVALID_ARGUMENT"),
        ("GetDeliveryStats", metrics.GetDeliveryStatsRequest(range="31d"), "INVALID_ARGUMENT"),
        ("ListRecentFailures", metrics.ListRecentFailuresRequest(limit=-1), "INVALID_ARGUMENT"),
        (
            "ListDeadLetters",
            metrics.ListDeadLettersRequest(page_token="nonsense"),
            "INVALID_ARGUMENT",
        ),
        ("ListDeliveries", metrics.ListDeliveriesRequest(org_id="nobody"), "INVALID_ARGUMENT"),
        (
            "ListDeliveries",
            metrics.ListDeliveriesRequest(
                start_time=Timestamp(seconds=2), end_time=Timestamp(seconds=2)
            ),
            "INVALID_ARGUMENT",
        ),
        (
            "ListFailureGroups",
            metrics.ListFailureGroupsRequest(page_token="\0", org_id="nobody"),
            "INVALID_ARGUMENT",
        ),
        ("RetryDeliveries", admin.RetryDeliveriesRequest(dry_run=True), "INVALID_ARGUMENT"),
        ("RetryDeliveries", admin.RetryDeliveriesRequest(reason="x", limit=-1), "INVALID_ARGUMENT"),
        (
            "RetryDeliveries",
            admin.RetryDeliveriesRequest(
                reason="x", filter=admin.DeadLetterFilter(org_id="nobody")
            ),
            "INVALID_ARGUMENT",
        ),
        (
            "RetryDelivery",
            admin.RetryDeliveryRequest(job_id="no uuid", request_id="no uuid"),
            "INVALID_ARGUMENT",
        ),
        *(
            (name, METHODS[name].request_class(job_id=NOWHERE, reason=reason), "INVALID_ARGUMENT")
            for name in ("DiscardDeadLetter", "RunDuplicate")
            for reason in ("  ", "x" * 501)
        ),
    ],
)
async def test_a_bad_request_is_rejected_the_same(
    service: FilledService, name: str, request_: Message, code: str
) -> None:
    """Code, sentence, reason, metadata, violations and resource."""
    grpc_answer, rest_answer = await both(service, name, request_, authorization=TENANT)

    assert isinstance(grpc_answer, Refused)
    assert grpc_answer.code == code
    assert rest_answer == grpc_answer


@pytest.mark.parametrize(
    "name", ["GetDelivery", "RetryDelivery", "DiscardDeadLetter", "RunDuplicate"]
)
async def test_a_webhook_of_another_org_looks_absent(service: FilledService, name: str) -> None:
    """The answer is the one for an unknown job id, by both transports."""
    kind = METHODS[name].request_class
    more = {} if name == "GetDelivery" else {"reason": "x"}
    absent = await both(service, name, kind(job_id=NOWHERE, **more), authorization=TENANT)

    hidden = await both(
        service, name, kind(job_id=str(service.theirs), **more), authorization=TENANT
    )

    for one_hidden, one_absent in zip(hidden, absent, strict=True):
        assert isinstance(one_hidden, Refused)
        assert isinstance(one_absent, Refused)
        assert one_hidden.code == "NOT_FOUND"
        assert one_hidden.message.replace(str(service.theirs), NOWHERE) == one_absent.message
        assert (one_hidden.reason, one_hidden.metadata) == (one_absent.reason, one_absent.metadata)


async def test_the_matrix_has_every_rpc() -> None:  # ruff: ignore[unused-async]  # as the others here
    """An added method must be added here."""
    changing = {command.name for command in COMMANDS} | {"PauseProcessing", "ResumeProcessing"}

    assert {query.name for query in QUERIES} | changing == METHODS.keys()


def _has_job(name: str) -> bool:
    return "job_id" in METHODS[name].request_class.DESCRIPTOR.fields_by_name
