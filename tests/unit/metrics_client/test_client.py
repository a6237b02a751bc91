"""The client against a gRPC server that answers what the test wants."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from ringback.metrics import (
    DeadlineError,
    FieldViolation,
    InvalidRequestError,
    MetricsClient,
    MetricsError,
    NotFoundError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from tests.support.certificate import server_tls
from tests.support.eventually import eventually
from tests.unit.metrics_client.scripted_service import (
    RefusedError,
    ScriptedService,
    answers,
    dead_letter_page,
    scripted_service,
)

AWAY = RefusedError(
    grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "The database cannot be reached."
)
ALL = admin.RetryDeliveriesRequest(reason="All.")


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    async with scripted_service() as served:
        yield served


@pytest.fixture
async def client(service: ScriptedService) -> AsyncIterator[MetricsClient]:
    async with MetricsClient(service.address, timeout_s=60) as client:
        yield client


async def test_a_read_outlives_a_short_outage(
    service: ScriptedService, client: MetricsClient
) -> None:
    """A query is repeated automatically while the service is unavailable."""
    service.answer = answers(AWAY, AWAY, metrics.GetQueueHealthResponse(healthy=True))

    assert (await client.queue_health()).healthy
    assert len(service.requests) == 3


async def test_a_retry_is_repeated_under_one_request_id(
    service: ScriptedService, client: MetricsClient
) -> None:
    """The service recognizes a repeated request by its id."""
    service.answer = answers(AWAY, admin.RetryDeliveryResponse(success=True, new_job_id="new"))

    answer = await client.retry_delivery("old", reason="The shop is back.")
    await client.retry_delivery("old")

    first, repeat, another = [request.request_id for request in service.requests]
    assert answer.new_job_id == "new"
    assert first == repeat
    assert len(first) == 36
    assert another != first


async def test_a_call_that_is_not_idempotent_is_not_repeated(
    service: ScriptedService, client: MetricsClient
) -> None:
    """Changes without a request id reach the service once, whatever it answers."""
    service.answer = answers(AWAY)

    for call in (
        client.discard_dead_letter("old", reason="A test call."),
        client.pause_processing(reason="A test call."),
        client.resume_processing(),
        anext(client.retry_deliveries(ALL)),
    ):
        with pytest.raises(UnavailableError):
            await call

    assert len(service.requests) == 4


async def test_a_service_that_stays_unavailable_is_an_error(
    service: ScriptedService, client: MetricsClient
) -> None:
    """The error is that of the service, after five tries; without one there is no reason."""
    service.answer = answers(AWAY)

    with pytest.raises(UnavailableError, match=r"^The database cannot be reached\.$") as failed:
        await client.delivery_stats("24h")
    async with MetricsClient("127.0.0.1:1") as lonely:
        with pytest.raises(UnavailableError) as silent:
            await lonely.queue_health()

    assert (failed.value.reason, silent.value.reason) == ("DATABASE_UNAVAILABLE", "")
    assert len(service.requests) == 5


async def test_errors_keep_the_details_of_the_service(
    service: ScriptedService, client: MetricsClient
) -> None:
    """Reason, metadata and the fields that are wrong; the class is by the status."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="range", description="It must be from 15m to 30d.")
    service.answer = answers(
        RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "It must be so.", bad),
        RefusedError(
            grpc.StatusCode.ALREADY_EXISTS, "ALREADY_RETRIED", "It was.", newJobId="the-new"
        ),
        RefusedError(grpc.StatusCode.NOT_FOUND, "DELIVERY_NOT_FOUND", "No such webhook."),
        RefusedError(grpc.StatusCode.INTERNAL, "INTERNAL", "Internal error."),
    )
    caught: list[MetricsError] = []

    for _ in range(4):
        with pytest.raises(MetricsError) as failed:
            await client.retry_delivery("old")
        caught.append(failed.value)

    invalid, retried, missing, internal = caught
    assert isinstance(invalid, InvalidRequestError)
    assert invalid.violations == (FieldViolation("range", "It must be from 15m to 30d."),)
    assert isinstance(retried, PreconditionError)
    assert retried.reason == "ALREADY_RETRIED"
    assert retried.metadata == {"newJobId": "the-new"}
    assert isinstance(missing, NotFoundError)
    assert internal.code is grpc.StatusCode.INTERNAL


async def test_a_call_has_a_deadline_by_default(service: ScriptedService) -> None:
    """A service that never answers does not keep its caller."""
    async with MetricsClient(service.address, timeout_s=0.1) as client:
        with pytest.raises(DeadlineError):
            await client.delivery("some")


async def test_a_stream_that_falls_silent_is_an_error(service: ScriptedService) -> None:
    """A stream has no deadline as a whole, but its next answer has one."""
    service.answer = answers(admin.RetryDeliveriesResponse(retried=1), None)

    async with MetricsClient(service.address, stream_idle_s=2) as client:
        run = client.retry_deliveries(ALL)
        first = await anext(run)
        with pytest.raises(DeadlineError, match=r"^The metrics service sent nothing for 2 "):
            await anext(run)
    await service.ended.wait()

    assert first.retried == 1


async def test_pages_are_fetched_until_there_is_no_next(
    service: ScriptedService, client: MetricsClient
) -> None:
    """An empty page in between is no end; each page is asked for with the same filter."""
    pages = {
        "": dead_letter_page("a", "b", then="two"),
        "two": dead_letter_page(then="three"),
        "three": dead_letter_page("c"),
    }
    service.answer = lambda request: pages[request.page_token]

    letters = client.dead_letters(event_type="hang", page_size=2)
    found = [letter.job_id async for letter in letters]
    counts = [page.count async for page in letters.by_page()]

    assert found == ["a", "b", "c"]
    assert counts == [2, 0, 1]
    assert {(one.event_type, one.page_size) for one in service.requests} == {("hang", 2)}


async def test_the_token_is_asked_for_before_each_call(service: ScriptedService) -> None:
    """So that one that has run out is replaced; the function may be a coroutine's."""
    service.answer = answers(metrics.GetDeliveryStatsResponse(time_range="24h"))
    tokens = iter(["one", "two"])

    async def source() -> str:
        await asyncio.sleep(0)
        return next(tokens)

    async with MetricsClient(service.address, token=source) as client:
        await client.delivery_stats()
        await client.delivery_stats()
    async with MetricsClient(service.address, token="fixed") as client:
        await client.delivery_stats()

    assert service.tokens == ["Bearer one", "Bearer two", "Bearer fixed"]


async def test_a_page_of_large_events_arrives(
    service: ScriptedService, client: MetricsClient
) -> None:
    """The client raises the 4 MiB default of gRPC."""
    page = metrics.ListDeadLettersResponse(count=1)
    page.dead_letters.add(event_data="x" * 20 * 1024 * 1024)
    service.answer = answers(page)

    [letter] = [letter async for letter in client.dead_letters()]

    assert len(letter.event_data) == 20 * 1024 * 1024


async def test_leaving_a_stream_ends_the_call(
    service: ScriptedService, client: MetricsClient
) -> None:
    """The service stops sending to a client that stopped reading."""
    service.answer = answers(
        *(admin.RetryDeliveriesResponse(matched=9, retried=number) for number in range(2))
    )

    run = client.retry_deliveries(ALL)
    first = await anext(run)
    await run.aclose()
    await service.ended.wait()

    assert first.retried == 0


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """A root certificate in a file is enough to know the service."""
    server_tls(tmp_path)
    pem = tmp_path / "server.pem"
    credentials = grpc.ssl_server_credentials([(pem.read_bytes(), pem.read_bytes())])

    async with scripted_service(credentials) as served:
        served.answer = answers(metrics.GetQueueHealthResponse(healthy=True))
        async with MetricsClient(served.address, root_certificates=pem) as client:
            health = await client.queue_health()
        async with MetricsClient(served.address, tls=True) as stranger:
            with pytest.raises(UnavailableError):
                await stranger.queue_health()

    assert health.healthy


async def test_closing_the_client_ends_its_calls_with_an_error(service: ScriptedService) -> None:
    """A task that waits for an answer does not seem to be cancelled; one that is cancelled does."""
    async with MetricsClient(service.address) as client:

        async def watch() -> None:
            await anext(client.watch_queue_health())

        calls = [asyncio.create_task(client.queue_health()), asyncio.create_task(watch())]
        cancelled = asyncio.create_task(client.delivery("job"))
        await eventually(lambda: len(service.requests) == 3)
        cancelled.cancel()
    await client.close()

    for call in (*calls, client.queue_health(), watch()):
        with pytest.raises(MetricsError, match=r"^The client is closed\.$"):
            await call
    with pytest.raises(asyncio.CancelledError):
        await cancelled


@pytest.mark.parametrize("token", ["of-a-file\n", "t\u00f6ken"])
async def test_a_token_that_no_header_can_have_is_an_error_of_ours(token: str) -> None:
    """Not one of gRPC, as for other headers. A token is not repeated in a message."""
    async with MetricsClient("127.0.0.1:1", token=token) as client:
        for call in (client.queue_health(), anext(client.watch_queue_health())):
            with pytest.raises(UnauthenticatedError, match="The token has a character") as caught:
                await call
            assert token not in str(caught.value)
