"""Calls of a handler to a destination on loopback that answers in every wrong way."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest
from opentelemetry import trace

from ringback.handlers import PermanentFailure
from ringback.outgoing import Destination, Unavailable
from ringback.outgoing.registry import Destinations
from ringback.runtime.outgoing.breaker import BreakerState, Outcome
from tests.support.answering_backend import Backend, backend
from tests.support.eventually import eventually
from tests.unit.outgoing.declared import Kept, declared

LONG_S = 60.0


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[Backend, None]:
    async with backend() as served:
        yield served


@pytest.fixture(name="kept")
def _kept() -> Kept:
    return Kept()


@pytest.fixture(name="shop")
async def _shop(server: Backend, kept: Kept) -> AsyncGenerator[Destination, None]:
    destinations = Destinations(watch=kept)
    yield declared(destinations, base_url=server.url("/"), timeout_s=LONG_S, open_s=30)
    await destinations.close()


async def post(shop: Destination, path: str, **arguments: Any) -> int:
    async with shop.session() as session, session.post(path, data=b"", **arguments) as answer:
        await answer.read()
        return answer.status


async def fail(shop: Destination, status: int = 500) -> None:
    """A call that fails; it is Unavailable if the breaker is open afterwards."""
    with pytest.raises((aiohttp.ClientError, Unavailable)) as caught:
        await post(shop, str(status))
    error = caught.value
    is_open = shop.breaker.state is BreakerState.OPEN
    assert isinstance(error, Unavailable) is is_open
    assert str(error.failure if isinstance(error, Unavailable) else error) == (
        f"shop answered {status}"
    )


async def test_a_session_sends_relative_urls_and_keeps_the_connection(
    shop: Destination, server: Backend, kept: Kept
) -> None:
    for _ in range(3):
        async with shop.session() as session, session.post("answer", json={"a": 1}) as answer:
            assert await answer.json() == {}

    assert server.connections == 1
    assert server.bodies == [b'{"a": 1}'] * 3
    assert kept.outcomes == [Outcome.SUCCEEDED] * 3
    assert (shop.in_flight, shop.last_error) == (0, None)


@pytest.mark.parametrize(
    ("path", "outcome", "last_error"),
    [
        ("ok", Outcome.SUCCEEDED, None),
        ("404", Outcome.SUCCEEDED, None),
        ("429", Outcome.FAILED, "HTTP 429"),
        ("500", Outcome.FAILED, "HTTP 500"),
    ],
)
async def test_an_answer_counts_by_its_status(
    shop: Destination, kept: Kept, path: str, outcome: Outcome, last_error: str | None
) -> None:
    await post(shop, path, raise_for_status=False)

    assert (kept.outcomes, shop.last_error) == ([outcome], last_error)


async def test_an_answer_that_is_a_failure_is_raised(shop: Destination, kept: Kept) -> None:
    """A handler that does not look at the status must not complete its webhook."""
    await fail(shop, 429)
    for path in ("cut", "close", "not-http"):
        with pytest.raises(aiohttp.ClientError):
            await post(shop, path)

    assert kept.outcomes == [Outcome.FAILED] * 4


@pytest.mark.parametrize("path", ["hang", "half"])
async def test_a_call_ends_at_its_deadline(server: Backend, kept: Kept, path: str) -> None:
    """Also if the head arrived and the body does not."""
    destinations = Destinations(watch=kept)
    shop = declared(destinations, base_url=server.url("/"), timeout_s=0.2)

    with pytest.raises(TimeoutError):
        await post(shop, path)

    assert (kept.outcomes, shop.last_error) == ([Outcome.FAILED], "TimeoutError")
    await destinations.close()


async def test_an_answer_has_a_limit(shop: Destination, kept: Kept) -> None:
    with pytest.raises(Exception, match="more than 1048576 bytes"):
        await post(shop, "endless")

    assert kept.outcomes == [Outcome.CANCELLED]


async def test_five_failures_open_the_breaker_and_nothing_is_sent(
    shop: Destination, server: Backend, kept: Kept
) -> None:
    for _ in range(5):
        await fail(shop)

    with pytest.raises(Unavailable) as caught:
        await post(shop, "ok")
    with pytest.raises(Unavailable):
        async with shop:
            pytest.fail("It was called.")

    assert caught.value.destination == "shop"
    assert 0 < caught.value.retry_after_s <= 36
    assert (len(server.heads), kept.states) == (5, [BreakerState.OPEN])
    assert kept.refusals == ["breaker_open"] * 2


async def test_an_answer_that_asks_to_wait_makes_it_unavailable(
    shop: Destination, server: Backend
) -> None:
    with pytest.raises(Unavailable) as caught:
        await post(shop, "503")

    assert (caught.value.retry_after_s, len(server.heads)) == (60, 1)


async def test_more_calls_than_the_limit_are_refused_at_once(
    shop: Destination, server: Backend, kept: Kept
) -> None:
    calls = [asyncio.create_task(post(shop, "hang")) for _ in range(4)]
    await eventually(lambda: len(server.heads) == 4)

    with pytest.raises(Unavailable):
        await post(shop, "ok")

    server.release.set()
    assert await asyncio.gather(*calls) == [200] * 4
    assert (kept.refusals, shop.in_flight) == (["busy"], 0)


async def test_a_cancelled_call_counts_as_nothing(
    shop: Destination, server: Backend, kept: Kept
) -> None:
    call = asyncio.create_task(post(shop, "hang"))
    await eventually(lambda: server.heads)

    call.cancel()
    await asyncio.wait([call])

    assert call.cancelled()
    assert (kept.outcomes, shop.in_flight) == ([Outcome.CANCELLED], 0)


async def test_a_call_in_a_generator_that_is_left_early_ends_with_its_task(
    shop: Destination, kept: Kept
) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(str(what)))

    async def pages() -> AsyncGenerator[int, None]:
        async with shop:
            yield 1  # ruff: ignore[yield-in-context-manager-in-async-generator]  # the fault

    async def handler() -> None:
        async for _ in pages():
            break

    for _ in range(2 * shop.max_in_flight):
        await asyncio.create_task(handler())
        await eventually(lambda: not shop.in_flight)

    assert kept.outcomes == [Outcome.CANCELLED] * 2 * shop.max_in_flight

    def is_told() -> bool:
        gc.collect()
        return "close that with contextlib.aclosing" in str(told)

    await eventually(is_told)


async def test_any_client_works_inside_a_call(shop: Destination, kept: Kept) -> None:
    async with shop:
        pass
    with pytest.raises(ConnectionResetError):
        async with shop:
            raise ConnectionResetError
    with pytest.raises(ValueError, match="a bug"):
        async with shop:
            raise ValueError("a bug")

    assert kept.outcomes == [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED]


async def test_a_client_that_swallows_the_cancellation_is_still_late(
    server: Backend, kept: Kept
) -> None:
    shop = declared(Destinations(watch=kept), timeout_s=0.05)

    async def call() -> None:
        async with shop:
            try:
                await server.release.wait()
            except asyncio.CancelledError:
                raise RuntimeError("connection lost") from None

    with pytest.raises(RuntimeError):
        await call()

    assert kept.outcomes == [Outcome.FAILED]


async def test_a_call_inside_a_call_is_a_part_of_it(shop: Destination, kept: Kept) -> None:
    """Also if the handler ignores how the inner one ended."""
    async with shop:
        async with shop:
            assert shop.in_flight == 1
        await fail(shop)

    assert kept.outcomes == [Outcome.FAILED]


async def test_a_permanent_status_ends_the_webhook(server: Backend, kept: Kept) -> None:
    """For the session, and for a client that raises it. A request may opt out."""
    destinations = Destinations(watch=kept)
    permanent = frozenset({404})
    shop = declared(destinations, base_url=server.url("/"), permanent=permanent)

    with pytest.raises(PermanentFailure, match="shop answered 404"):
        await post(shop, "404")
    with pytest.raises(PermanentFailure, match="shop answered 404"):
        async with shop:
            raise _StatusError
    assert await post(shop, "404", raise_for_status=False) == 404

    assert kept.outcomes == [Outcome.SUCCEEDED] * 3
    await destinations.close()


class _StatusError(Exception):
    status = 404


async def test_a_session_connects_only_where_it_may(shop: Destination, server: Backend) -> None:
    """Plain http only to the allowed networks, also after a redirect, which aiohttp follows."""
    for url, error in (
        ("https://127.0.0.1/", "is called by http"),
        ("http://169.254.169.254/", "address not allowed"),
        ("http://8.8.8.8/", "address not allowed"),
        ("redirect", "address not allowed"),
    ):
        with pytest.raises((aiohttp.ClientError, OSError), match=error):
            await post(shop, url)

    assert len(server.heads) == 1


async def test_a_private_address_needs_its_network(server: Backend) -> None:
    destinations = Destinations()
    shop = declared(destinations, base_url=server.url("/"), allow_networks="")

    with pytest.raises((aiohttp.ClientError, OSError), match="address not allowed"):
        await post(shop, "ok")

    assert server.connections == 0
    await destinations.close()


async def test_a_session_passes_the_trace_on(shop: Destination, server: Backend) -> None:
    parent = trace.NonRecordingSpan(
        trace.SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=trace.TraceFlags(0))
    )
    with trace.use_span(parent):
        await post(shop, "ok")

    assert f"traceparent: 00-{0xA1:032x}-".encode() in server.heads[0].lower()


async def test_a_reset_forgets_failures_and_calls(shop: Destination, server: Backend) -> None:
    """A call that began before it does not count afterwards."""
    call = asyncio.create_task(post(shop, "hang"))
    await eventually(lambda: server.heads)
    for _ in range(5):
        await fail(shop)

    shop.reset()
    server.release.set()
    await call

    assert (shop.breaker.state, shop.in_flight, shop.last_error) == (BreakerState.CLOSED, 0, None)
