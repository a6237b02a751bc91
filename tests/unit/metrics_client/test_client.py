"""The client against a gRPC server that answers what the test wants."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc import error_details_pb2

from ringback.metrics import (
    DeadlineError,
    FieldViolation,
    InvalidRequestError,
    MetricsClient,
    MetricsError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from tests.unit.metrics_client.scripted_service import (
    RefusedError,
    ScriptedService,
    bulk_progress,
    dead_letter_page,
    scripted_service,
)

AWAY = RefusedError(
    grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", "The database cannot be reached."
)


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    async with scripted_service() as (served, _):
        yield served


def away_at_first(times: int, answer: Any) -> Callable[[Any], Any]:
    """Unavailable so many times, then `answer`."""
    left = iter([AWAY] * times)

    def decide(_: Any) -> Any:
        for refusal in left:
            raise refusal
        return answer

    return decide


async def test_a_read_outlives_a_short_outage(service: ScriptedService) -> None:
    """A query is repeated automatically while the service is unavailable."""
    service.answer = away_at_first(2, metrics.GetQueueHealthResponse(healthy=True))

    async with MetricsClient(service.address) as client:
        health = await client.queue_health()

    assert health.healthy
    assert len(service.requests) == 3


async def test_a_retry_is_repeated_under_one_request_id(service: ScriptedService) -> None:
    """The service recognizes a repeated request by its id."""
    service.answer = away_at_first(1, admin.RetryDeliveryResponse(success=True, new_job_id="new"))

    async with MetricsClient(service.address) as client:
        answer = await client.retry_delivery("old", reason="The shop is back.")
        await client.retry_delivery("old")

    first, repeat, another = [request.request_id for request in service.requests]
    assert answer.new_job_id == "new"
    assert first == repeat
    assert len(first) == 36
    assert another != first


async def test_a_call_that_is_not_idempotent_is_not_repeated(service: ScriptedService) -> None:
    """A run of retries and a discard reach the service once, whatever it answers."""
    service.answer = away_at_first(9, None)

    async with MetricsClient(service.address) as client:
        with pytest.raises(UnavailableError):
            await client.discard_dead_letter("old", reason="A test call.")
        with pytest.raises(UnavailableError):
            async for _ in client.retry_deliveries(admin.RetryDeliveriesRequest(reason="All.")):
                pass

    assert len(service.requests) == 2


async def test_a_service_that_stays_unavailable_is_an_error(service: ScriptedService) -> None:
    """The error is that of the service, after five tries."""
    service.answer = away_at_first(99, None)

    async with MetricsClient(service.address) as client:
        with pytest.raises(UnavailableError) as failed:
            await client.delivery_stats("24h")

    assert failed.value.reason == "DATABASE_UNAVAILABLE"
    assert str(failed.value) == "The database cannot be reached."
    assert len(service.requests) == 5


async def test_errors_keep_the_details_of_the_service(service: ScriptedService) -> None:
    """Reason, metadata and the fields that are wrong; the class is by the status."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="range", description="It must be from 15m to 30d.")
    refusals = [
        RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "It must be so.", bad),
        RefusedError(
            grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_RETRIED", "It was.", newJobId="the-new"
        ),
        RefusedError(grpc.StatusCode.NOT_FOUND, "DELIVERY_NOT_FOUND", "No such webhook."),
        RefusedError(grpc.StatusCode.INTERNAL, "INTERNAL", "Internal error."),
    ]
    caught: list[MetricsError] = []

    async with MetricsClient(service.address) as client:
        for refusal in refusals:
            service.answer = away_with(refusal)
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


async def test_an_address_without_a_service_is_unavailable() -> None:
    """No service spoke, so there is no reason."""
    async with MetricsClient("127.0.0.1:1") as client:
        with pytest.raises(UnavailableError) as failed:
            await client.queue_health()

    assert not failed.value.reason


async def test_a_call_has_a_deadline_by_default(service: ScriptedService) -> None:
    """A service that never answers does not keep its caller."""
    async with MetricsClient(service.address, timeout_s=0.1) as client:
        with pytest.raises(DeadlineError):
            await client.delivery("some")


async def test_pages_are_fetched_until_there_is_no_next(service: ScriptedService) -> None:
    """An empty page in between is no end; each page is asked for with the same filter."""
    pages = {
        "": dead_letter_page("a", "b", then="two"),
        "two": dead_letter_page(then="three"),
        "three": dead_letter_page("c"),
    }
    service.answer = lambda request: pages[request.page_token]

    async with MetricsClient(service.address) as client:
        letters = client.dead_letters(event_type="hang", page_size=2)
        found = [letter.job_id async for letter in letters]
        counts = [page.count async for page in letters.by_page()]

    assert found == ["a", "b", "c"]
    assert counts == [2, 0, 1]
    assert {(one.event_type, one.page_size) for one in service.requests} == {("hang", 2)}


async def test_the_token_is_asked_for_before_each_call(service: ScriptedService) -> None:
    """So that one that has run out is replaced; the function may be a coroutine's."""
    service.answer = lambda _: metrics.GetDeliveryStatsResponse(time_range="24h")
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


async def test_a_page_of_large_events_arrives(service: ScriptedService) -> None:
    """The client raises the 4 MiB default of gRPC."""
    page = metrics.ListDeadLettersResponse(count=1)
    page.dead_letters.add(event_data="x" * 20 * 1024 * 1024)
    service.answer = lambda _: page

    async with MetricsClient(service.address) as client:
        [letter] = [letter async for letter in client.dead_letters()]

    assert len(letter.event_data) == 20 * 1024 * 1024


async def test_leaving_a_stream_ends_the_call(service: ScriptedService) -> None:
    """The service stops sending to a client that stopped reading."""
    retried = iter(range(1_000_000))
    service.answer = lambda _: bulk_progress(next(retried))

    async with MetricsClient(service.address) as client:
        run = client.retry_deliveries(admin.RetryDeliveriesRequest(reason="All."))
        first = await anext(run)
        await run.aclose()
        await service.ended.wait()

    assert first.retried == 0


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """A root certificate in a file is enough to know the service."""
    key, certificate = self_signed()
    (tmp_path / "root.pem").write_bytes(certificate)
    credentials = grpc.ssl_server_credentials([(key, certificate)])

    async with scripted_service(credentials) as (served, address):
        served.answer = lambda _: metrics.GetQueueHealthResponse(healthy=True)
        async with MetricsClient(address, root_certificates=tmp_path / "root.pem") as client:
            health = await client.queue_health()
        async with MetricsClient(address, tls=True) as stranger:
            with pytest.raises(UnavailableError):
                await stranger.queue_health()

    assert health.healthy


def away_with(refusal: RefusedError) -> Callable[[Any], Any]:
    def refuse(_: Any) -> Any:
        raise refusal

    return refuse


def self_signed() -> tuple[bytes, bytes]:
    """A key and its certificate for 127.0.0.1, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "metrics")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(pem)
