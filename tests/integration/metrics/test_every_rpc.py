"""Every RPC with good and bad requests, by gRPC and by REST: both answer the same."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.services.metrics.transport.methods import methods_of
from tests.integration.metrics.bad_requests import BAD_REQUESTS, NOWHERE, SECOND
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
SERVICE = bearer()
TENANT = bearer("tenant", OURS)


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


def moment(text: str) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromJsonString(text)
    return timestamp


#: Calls that change nothing. A text that names a field of FilledService stands for its value.
QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("GetQueueHealth", {}),
    ("GetQueueHealth", {"allow_stale": True}),
    ("WatchQueueHealth", {}),
    ("WatchQueueHealth", {"interval_s": 2.5}),
    ("GetDeliveryStats", {"range": "30d"}),
    ("GetDeliveryStats", {"org_id": str(THEIRS)}),
    ("ListRecentFailures", {"limit": 3}),
    ("ListDeadLetters", {"page_size": 2}),
    ("ListDeadLetters", {"error_class": "ConnectionError"}),
    ("GetDelivery", {"job_id": "completed"}),
    ("GetDelivery", {"job_id": "theirs"}),
    ("ListDeliveries", {"page_size": 2}),
    (
        "ListDeliveries",
        {
            "status": delivery.DELIVERY_STATUS_FAILED,
            "event_type": "hang",
            "call_id": "call-1",
            "start_time": moment("2026-01-01T00:00:00Z"),
            "end_time": moment("2100-01-01T00:00:00.123456Z"),
        },
    ),
    ("ListDeliveries", {"run_id": NOWHERE}),
    ("ListFailureGroups", {}),
    ("ListDestinations", {}),
    ("ListEndpoints", {"page_size": 2}),
    ("ListChanges", {"action": delivery.CHANGE_ACTION_PAUSE, "actor": "anna", "page_size": 2}),
    ("ListChanges", {"org_id": str(OURS), "end_time": moment("2100-01-01T00:00:00Z")}),
    ("ListWaiting", {"page_size": 2}),
    ("ListWaiting", {"reason": delivery.WAIT_REASON_DESTINATION, "destination": "crm"}),
    ("GetDelivery", {"job_id": "waiting"}),
    (
        "RetryDeliveries",
        {
            "filter": admin.DeadLetterFilter(event_type="call.ended", org_id=str(OURS)),
            "dry_run": True,
            "reason": "Look first.",
        },
    ),
    (
        "CreateRetryRun",
        {
            "kind": admin.RETRY_RUN_KIND_COMPLETED,
            "filter": admin.DeadLetterFilter(event_type="call.ended", start_time=SECOND),
            "dry_run": True,
        },
    ),
    ("ListRetryRuns", {"page_size": 2}),
    ("CreateConsoleCode", {}),
]
#: The fields that vary between calls.
VOLATILE = (
    *("timestamp", "start_time", "end_time", "live_rate_per_second"),
    *("code", "expires_at", "rates", "read_at"),
)


@pytest.mark.parametrize(("name", "fields"), QUERIES)
async def test_a_query_answers_the_same(
    service: FilledService, name: str, fields: dict[str, Any]
) -> None:
    """Field by field; REST has the whole message."""
    if "job_id" in fields:
        fields = {"job_id": str(getattr(service, fields["job_id"]))}
    grpc_answer, rest_answer = await both(service, name, METHODS[name].request_class(**fields))

    assert not isinstance(grpc_answer, Refused)
    assert comparable(rest_answer, *VOLATILE) == comparable(grpc_answer, *VOLATILE)


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
    code: str = "ALREADY_EXISTS"


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
        "FAILED_PRECONDITION",
    ),
    Command(
        "CancelWaiting",
        lambda job_id: admin.CancelWaitingRequest(job_id=job_id, reason="Not needed."),
        "ALREADY_CANCELLED",
        "FAILED_PRECONDITION",
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
    pair = {"RunDuplicate": service.duplicates, "CancelWaiting": service.cancelled}.get(
        command.name, service.dead[first : first + 2]
    )
    for_grpc, for_rest = map(str, pair)

    done = await both(service, command.name, command.request(for_grpc), command.request(for_rest))
    again = await both(service, command.name, command.request(for_grpc), command.request(for_rest))

    assert comparable(done[1], "new_job_id") == comparable(done[0], "new_job_id")
    grpc_answer, rest_answer = again
    assert isinstance(grpc_answer, Refused)
    assert isinstance(rest_answer, Refused)
    assert (grpc_answer.code, grpc_answer.reason) == (command.code, command.again)
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


async def test_a_decision_about_a_destination_is_the_same(service: FilledService) -> None:
    """Also about one that no processor has."""
    connection = await asyncpg.connect(service.database_url)
    await connection.execute(
        "INSERT INTO webhook_destinations VALUES ('shop', NULL, now(), 'ada', 'before')"
    )
    await connection.close()
    state = delivery.BREAKER_STATE_OPEN
    request = admin.SetDestinationRequest(name="shop", forced_state=state, reason="Upgrade.")
    unknown = admin.SetDestinationRequest(name="shap", forced_state=state, reason="Upgrade.")

    grpc_answer, rest_answer = await both(service, "SetDestination", request)
    refusals = await both(service, "SetDestination", unknown)

    assert one(grpc_answer).destination.forced_state == state
    assert comparable(rest_answer) == comparable(grpc_answer)
    assert isinstance(refusals[0], Refused)
    assert (refusals[0].code, refusals[0].reason) == ("NOT_FOUND", "DESTINATION_NOT_FOUND")
    assert refusals[0].resource == ("destination", "shap")
    assert refusals[1] == refusals[0]


async def test_a_release_is_the_same(service: FilledService) -> None:
    """By one and by the other, of a filter and of one webhook; the second changes nothing."""
    by_filter = admin.ReleaseWaitingRequest(
        filter=admin.WaitingFilter(destination="crm"), limit=5, reason="It is back."
    )
    by_id = admin.ReleaseWaitingRequest(job_id=str(service.waiting), reason="It is back.")
    for request in (by_filter, by_id):
        grpc_answer, rest_answer = await both(service, "ReleaseWaiting", request)
        assert (one(grpc_answer).released, one(rest_answer).released) == (1, 0)


async def test_a_retry_run_is_the_same(service: FilledService) -> None:
    """One request by both gets one run."""
    request = admin.CreateRetryRunRequest(
        filter=admin.DeadLetterFilter(event_type="no such type"),
        reason="The CRM is back.",
        request_id=NOWHERE,
    )
    created = [one(answer).run for answer in await both(service, "CreateRetryRun", request)]
    assert created[0].run_id == created[1].run_id

    run_id = created[0].run_id
    shown = await both(service, "GetRetryRun", admin.GetRetryRunRequest(run_id=run_id))
    assert {one(answer).run.reason for answer in shown} == {"The CRM is back."}


async def test_a_caller_without_a_token_is_rejected_the_same(service: FilledService) -> None:
    """Every RPC answers UNAUTHENTICATED with the same text."""
    for name, method in METHODS.items():
        request = method.request_class(**_in_the_path(name))

        grpc_answer, rest_answer = await both(service, name, request, authorization=None)

        assert isinstance(grpc_answer, Refused), name
        assert grpc_answer.code == "UNAUTHENTICATED", name
        assert rest_answer == grpc_answer, name


@pytest.mark.parametrize("code", BAD_REQUESTS)
async def test_a_bad_request_is_rejected_the_same(service: FilledService, code: str) -> None:
    """Code, sentence, reason, metadata, violations and resource."""
    for name, fields in BAD_REQUESTS[code]:
        request = METHODS[name].request_class(**fields)
        grpc_answer, rest_answer = await both(service, name, request, authorization=TENANT)

        assert isinstance(grpc_answer, Refused), (name, fields)
        assert grpc_answer.code == code, (name, fields)
        assert rest_answer == grpc_answer, (name, fields)


async def test_a_webhook_of_another_org_looks_absent(service: FilledService) -> None:
    """The answer is the one for an unknown job id, by both transports."""
    names = [command.name for command in COMMANDS] + ["GetDelivery", "ReleaseWaiting"]
    theirs = str(service.theirs)
    for name in names:
        kind, more = METHODS[name].request_class, {} if name == "GetDelivery" else {"reason": "x"}
        absent = await both(service, name, kind(job_id=NOWHERE, **more), authorization=TENANT)
        hidden = await both(service, name, kind(job_id=theirs, **more), authorization=TENANT)

        for one_hidden, one_absent in zip(hidden, absent, strict=True):
            assert isinstance(one_hidden, Refused), name
            assert isinstance(one_absent, Refused), name
            assert one_hidden.code == "NOT_FOUND", name
            assert one_hidden.message.replace(theirs, NOWHERE) == one_absent.message
            assert one_hidden.reason == one_absent.reason
            assert one_hidden.metadata == one_absent.metadata


async def test_the_matrix_has_every_rpc() -> None:  # ruff: ignore[unused-async]  # as the others here
    """An added method must be added here."""
    changing = {command.name for command in COMMANDS}
    changing |= {f"{verb}RetryRun" for verb in ("Create", "Get", "Pause", "Resume", "Stop")}
    changing |= {"PauseProcessing", "ResumeProcessing", "SetDestination", "ReleaseWaiting"}

    assert {name for name, _ in QUERIES} | changing == METHODS.keys()


def _in_the_path(name: str) -> dict[str, str]:
    """A value for each field that REST has in its path."""
    values = {"job_id": NOWHERE, "run_id": NOWHERE, "name": "shop"}
    fields = METHODS[name].request_class.DESCRIPTOR.fields_by_name
    return {field: value for field, value in values.items() if field in fields}
