"""The client without asyncio, in a thread beside the service of the tests."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from ringback.metrics import (
    DeadlineError,
    MetricsClient,
    MetricsError,
    PreconditionError,
    SyncMetricsClient,
    UnavailableError,
)
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from tests.unit.metrics_client.scripted_service import (
    LastAnswerError,
    RefusedError,
    ScriptedService,
    answers,
    dead_letter_page,
    scripted_service,
)

ALL = admin.RetryDeliveriesRequest(reason="All.")
AWAY = RefusedError(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "It is away.")


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    async with scripted_service() as served:
        yield served


async def test_it_has_the_methods_of_the_other(service: ScriptedService) -> None:
    """Each is declared once, for both."""
    async with MetricsClient(service.address) as both, asyncio.timeout(60):
        await asyncio.to_thread(_compare, both, service.address)


def _compare(other: MetricsClient, address: str) -> None:
    with SyncMetricsClient(address) as client:
        assert [name for name in dir(client) if name[0] != "_"] == [
            name for name in dir(other) if name[0] != "_"
        ]


async def test_calls_have_answers_repeats_tokens_and_errors(service: ScriptedService) -> None:
    """A read is repeated, a change without a request id is not; errors keep their details."""
    service.answer = answers(
        AWAY,
        metrics.GetDeliveryStatsResponse(time_range="1h"),
        AWAY,
        RefusedError(
            grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_RETRIED", "It was.", newJobId="n"
        ),
    )
    tokens = iter(["one", "two", "three"])

    def work() -> None:
        with SyncMetricsClient(service.address, token=lambda: next(tokens)) as client:
            assert client.delivery_stats("1h").time_range == "1h"
            with pytest.raises(UnavailableError, match=r"^It is away\.$"):
                client.discard_dead_letter("old", reason="A test.")
            with pytest.raises(PreconditionError) as retried:
                client.retry_delivery("old")
            assert retried.value.metadata == {"newJobId": "n"}

    await asyncio.to_thread(work)

    assert service.tokens == ["Bearer one", "Bearer one", "Bearer two", "Bearer three"]


async def test_lists_are_iterated(service: ScriptedService) -> None:
    pages = {"": dead_letter_page("a", "b", then="two"), "two": dead_letter_page("c")}
    service.answer = lambda request: pages[request.page_token]

    def work() -> tuple[list[str], list[int]]:
        with SyncMetricsClient(service.address) as client:
            letters = client.dead_letters(event_type="hang")
            return [one.job_id for one in letters], [page.count for page in letters.by_page()]

    assert await asyncio.to_thread(work) == (["a", "b", "c"], [2, 1])
    assert {request.event_type for request in service.requests} == {"hang"}


async def test_a_stream_ends_with_the_service_or_with_its_reader(service: ScriptedService) -> None:
    first, second = (admin.RetryDeliveriesResponse(retried=number) for number in (1, 2))

    def work() -> list[int]:
        with SyncMetricsClient(service.address) as client:
            service.answer = answers(first, second, LastAnswerError())
            seen = [answer.retried for answer in client.retry_deliveries(ALL)]
            service.ended.clear()
            service.answer = answers(first, None)
            run = client.retry_deliveries(ALL)
            seen.append(next(run).retried)
            run.close()
            return seen

    assert await asyncio.to_thread(work) == [1, 2, 1]
    await service.ended.wait()


async def test_every_call_has_a_deadline(service: ScriptedService) -> None:
    """Also the next answer of a stream."""
    service.answer = lambda _: None

    def work() -> None:
        with SyncMetricsClient(service.address, timeout_s=0.1, stream_idle_s=0.1) as client:
            with pytest.raises(DeadlineError):
                client.delivery("some")
            with pytest.raises(DeadlineError, match=r"sent nothing"):
                next(client.watch_queue_health())

    await asyncio.to_thread(work)


def test_a_closed_client_raises_an_error_of_ours() -> None:
    with SyncMetricsClient("127.0.0.1:1") as client:
        pass
    client.close()

    with pytest.raises(MetricsError, match=r"^The client is closed\.$"):
        client.queue_health()
    with pytest.raises(MetricsError, match=r"^The client is closed\.$"):
        next(client.watch_queue_health())
