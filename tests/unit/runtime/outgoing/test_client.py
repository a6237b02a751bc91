import asyncio
import dataclasses
import socket
import threading
from collections.abc import AsyncGenerator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from ringback.runtime.outgoing.addresses import Network
from ringback.runtime.outgoing.breaker import (
    BreakerRules,
    BreakerState,
    CircuitBreaker,
    Destination,
)
from ringback.runtime.outgoing.client import (
    Failure,
    OutgoingClient,
    OutgoingError,
    Request,
    failure_of,
    was_closed_before,
)
from tests.support.answering_backend import Backend, backend
from tests.support.certificate import client_tls, server_tls
from tests.support.eventually import eventually

LOOPBACK = (ip_network("127.0.0.0/8"),)
LONG_S = 60.0


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[Backend, None]:
    async with backend() as served:
        yield served


@pytest.fixture(name="client")
async def _client() -> AsyncGenerator[OutgoingClient, None]:
    async with OutgoingClient(LOOPBACK).running() as client:
        yield client


def request(url: str, *, timeout_s: float = LONG_S) -> Request:
    return Request(
        url=url, body=b"{}", headers={"X-A": "1"}, timeout_s=timeout_s, max_answer_bytes=1000
    )


def still() -> Destination:
    """A destination whose breaker stays as it is, however long the test takes."""
    return Destination(1, CircuitBreaker(clock=lambda: 0.0))


async def failure(
    client: OutgoingClient, url: str, *, timeout_s: float = LONG_S
) -> tuple[Failure, bool]:
    with pytest.raises(OutgoingError) as caught:
        await client.send(Destination(1), request(url, timeout_s=timeout_s))
    return caught.value.failure, caught.value.was_sent


async def test_returns_the_answer_and_keeps_the_connection(
    client: OutgoingClient, server: Backend
) -> None:
    for _ in range(3):
        answer = await client.send(Destination(1), request(server.url()))

    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    assert b"X-A: 1" in server.heads[0]
    assert server.bodies == [b"{}"] * 3
    assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/cut", Failure.CONNECTION_LOST),
        ("/close", Failure.CONNECTION_LOST),
        ("/endless", Failure.TOO_LARGE),
        ("/not-http", Failure.NOT_HTTP),
        ("/heads", Failure.NOT_HTTP),
    ],
)
async def test_names_what_is_wrong_with_an_answer(
    client: OutgoingClient, server: Backend, path: str, expected: Failure
) -> None:
    assert await failure(client, server.url(path)) == (expected, True)
    assert len(server.heads) == 1, "It was sent twice."


@pytest.mark.parametrize(
    ("path", "begins_with"), [("/slow-body", b"x"), ("/cut", b""), ("/endless", b"x" * 100)]
)
async def test_if_only_the_status_matters_a_bad_body_is_cut(
    client: OutgoingClient, server: Backend, path: str, begins_with: bytes
) -> None:
    cut = dataclasses.replace(request(server.url(path)), is_answer_cut=True, max_answer_bytes=100)

    answer = await client.send(Destination(1), cut)

    assert answer.status == 200
    assert answer.body.startswith(begins_with)
    assert len(answer.body) <= 100


async def test_a_status_that_comes_a_byte_a_second_comes_too_late(
    client: OutgoingClient, server: Backend
) -> None:
    cut = dataclasses.replace(request(server.url("/slow-head"), timeout_s=1.0), is_answer_cut=True)

    with pytest.raises(OutgoingError) as caught:
        await client.send(Destination(1), cut)

    assert caught.value.failure is Failure.TIMEOUT


@pytest.mark.parametrize("path", ["/hang", "/half"])
async def test_does_not_wait_beyond_the_timeout(
    client: OutgoingClient, server: Backend, path: str
) -> None:
    assert await failure(client, server.url(path), timeout_s=2.0) == (Failure.TIMEOUT, True)


@pytest.mark.parametrize(
    ("path", "status", "is_failure"),
    [
        ("/redirect", 302, False),
        ("/404", 404, False),
        ("/429", 429, True),
        ("/500", 500, True),
    ],
)
async def test_a_status_is_an_answer_and_some_count_as_failures(
    client: OutgoingClient, server: Backend, path: str, status: int, *, is_failure: bool
) -> None:
    """A redirect is not followed."""
    destination = still()

    answers = [await client.send(destination, request(server.url(path))) for _ in range(5)]

    assert {answer.status for answer in answers} == {status}
    assert (destination.breaker.state is BreakerState.OPEN) is is_failure


async def test_an_open_breaker_lets_nothing_through(
    client: OutgoingClient, server: Backend
) -> None:
    destination = still()
    for _ in range(5):
        await client.send(destination, request(server.url("/500")))

    with pytest.raises(OutgoingError) as caught:
        await client.send(destination, request(server.url()))

    assert (caught.value.failure, caught.value.was_sent) == (Failure.BREAKER_OPEN, False)
    assert len(server.heads) == 5
    assert (await client.send(Destination(1), request(server.url()))).status == 200


async def test_a_destination_that_flaps_is_called_again_each_time_it_is_back(
    client: OutgoingClient, server: Backend
) -> None:
    """While it is down, the breaker lets through few calls; afterwards, all."""
    now = [0.0]
    rules = BreakerRules()
    destination = Destination(1, CircuitBreaker(rules, clock=lambda: now[0]))

    async def is_answered() -> bool:
        now[0] += 0.1
        try:
            answer = await client.send(destination, request(server.url("/flap")))
        except OutgoingError:
            return False
        return answer.status == 200

    for _ in range(3):
        server.is_down, before = True, len(server.heads)
        assert not any([await is_answered() for _ in range(100)])
        assert len(server.heads) - before < 20
        server.is_down = False
        now[0] += 2 * rules.max_open_s
        assert all([await is_answered() for _ in range(100)])


async def test_a_hanging_destination_delays_no_other(
    client: OutgoingClient, server: Backend
) -> None:
    slow = Destination(2)
    waiting = [
        asyncio.create_task(client.send(slow, request(server.url("/hang")))) for _ in range(2)
    ]
    await eventually(lambda: len(server.heads) == 2)

    with pytest.raises(OutgoingError) as caught:
        await client.send(slow, request(server.url()))
    other = await client.send(Destination(1), request(server.url()))
    server.release.set()
    answers = await asyncio.gather(*waiting)

    assert (caught.value.failure, caught.value.was_sent) == (Failure.BUSY, False)
    assert other.status == 200
    assert [answer.status for answer in answers] == [200, 200]
    assert slow.in_flight == 0


async def test_names_without_an_answer_delay_no_other(
    client: OutgoingClient, server: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their name servers are down: a lookup then takes longer than any call."""
    answered, asked, look_up = threading.Event(), set[str](), socket.getaddrinfo

    def hanging(host: str, *arguments: Any, **options: Any) -> Any:
        if host.endswith(".example"):
            asked.add(host)
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    urls = [f"http://{number}.example/" for number in range(40)]
    waiting = [asyncio.create_task(failure(client, url)) for url in urls]
    try:
        await eventually(lambda: len(asked) == len(urls))
        other = await client.send(Destination(1), request(server.url(host="localhost")))
    finally:
        answered.set()

    assert other.status == 200
    assert set(await asyncio.gather(*waiting)) == {(Failure.NOT_CONNECTED, False)}


async def test_a_cancelled_call_counts_as_nothing(client: OutgoingClient, server: Backend) -> None:
    destination = Destination(1)
    for number in range(1, 7):
        call = asyncio.create_task(client.send(destination, request(server.url("/hang"))))
        await eventually(partial(has_heads, server, number))
        call.cancel()
        await asyncio.wait([call])

    assert destination.in_flight == 0
    assert destination.breaker.state is BreakerState.CLOSED


def has_heads(server: Backend, count: int) -> bool:
    return len(server.heads) == count


@pytest.mark.parametrize("host", ["a" * 64 + ".example.com", "a..example.com"])
async def test_what_cannot_be_a_host_name_was_sent_nothing(
    client: OutgoingClient, host: str
) -> None:
    assert await failure(client, f"http://{host}/") == (Failure.NOT_CONNECTED, False)


async def test_a_closed_port_was_sent_nothing(client: OutgoingClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"

        assert await failure(client, url) == (Failure.NOT_CONNECTED, False)


class Names(AbstractResolver):
    """Resolves a name to the next of these addresses each time, as a rebinding server would."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for one in addresses
        ]

    async def close(self) -> None:
        """It holds nothing."""


@pytest.mark.parametrize(
    ("networks", "host"),
    [
        ((), "127.0.0.1"),
        ((), "[::1]"),
        ((), "[::ffff:127.0.0.1]"),
        ((), "localhost"),
        ((), "2130706433"),
        ((), "127.1"),
        ((ip_network("10.0.0.0/8"),), "127.0.0.1"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_this_machine_is_not_reached_unless_declared(
    server: Backend, networks: tuple[Network, ...], host: str, scheme: str
) -> None:
    async with OutgoingClient(networks).running() as client:
        got = await failure(client, f"{scheme}://{host}:{server.port}/ok")

    assert got == (Failure.ADDRESS_NOT_ALLOWED, False)
    assert not server.connections


async def test_plain_http_is_refused_outside_the_declared_networks() -> None:
    names = Names(["8.8.8.8"])
    async with OutgoingClient(LOOPBACK, resolver=lambda: names).running() as client:
        assert await failure(client, "http://a.example/") == (Failure.ADDRESS_NOT_ALLOWED, False)


async def test_a_name_with_one_forbidden_address_is_refused(server: Backend) -> None:
    names = Names(["127.0.0.1", "169.254.169.254"])
    async with OutgoingClient(LOOPBACK, resolver=lambda: names).running() as client:
        got = await failure(client, server.url(host="a.example"))

    assert got == (Failure.ADDRESS_NOT_ALLOWED, False)
    assert not server.connections


async def test_a_name_that_rebinds_is_refused(server: Backend) -> None:
    """The address that a connection uses is the one that was checked."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    only = (ip_network("127.0.0.1/32"),)
    async with OutgoingClient(only, resolver=lambda: names).running() as client:
        first = await client.send(Destination(1), request(server.url("/ok", host="a.example")))
        await failure(client, server.url("/close", host="a.example"))
        got = await failure(client, server.url("/ok", host="b.example"))

    assert first.status == 200
    assert got == (Failure.ADDRESS_NOT_ALLOWED, False)


async def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    async with backend(server_tls(tmp_path)) as server:
        async with OutgoingClient(LOOPBACK).running() as client:
            got = await failure(client, server.url())
        async with OutgoingClient(LOOPBACK, tls=client_tls(tmp_path)).running() as client:
            answer = await client.send(Destination(1), request(server.url()))

    assert got == (Failure.NOT_CONNECTED, False)
    assert answer.status == 200
    assert len(server.heads) == 1


def test_only_a_connection_that_was_closed_before_the_write_is_tried_again() -> None:
    """The error of the write is the cause of what aiohttp raises."""
    error = aiohttp.ClientOSError(None, "Can not write request body")
    error.__cause__ = aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    assert was_closed_before(error)
    assert failure_of(error) is Failure.CONNECTION_LOST
    for other in (aiohttp.ServerDisconnectedError(), ConnectionResetError(), TimeoutError()):
        assert not was_closed_before(other)
