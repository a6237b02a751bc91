"""The management API: where it is asked, what its numbers mean; and which brokers are refused."""

import aiohttp
import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from ringback.runtime.amqp.connection import refuse_broken_broker
from ringback.runtime.amqp.management_api import (
    ManagementAddress,
    ManagementError,
    QueueStats,
    management_api,
)
from ringback.runtime.process.lifecycle import CannotStartError


@pytest.mark.parametrize(
    ("url", "amqp_url", "base_url", "vhost", "user"),
    [
        ("http://mq:15672", "amqp://u:p@mq:5672/", "http://mq:15672/api", "%2F", ("u", "p")),
        (
            "https://mq/path/",
            "amqps://u:p%40@mq/a%2Fb",
            "https://mq/path/api",
            "a%2Fb",
            ("u", "p@"),
        ),
        ("http://x:y@mq:1", "amqp://u:p@mq/calls", "http://mq:1/api", "calls", ("x", "y")),
        ("http://mq:15672", "amqp://mq", "http://mq:15672/api", "%2F", ("guest", "guest")),
    ],
)
def test_the_place_is_that_of_the_amqp_url(
    url: str, amqp_url: str, base_url: str, vhost: str, user: tuple[str, str]
) -> None:
    """Virtual host and user come from there; the API's own URL takes precedence."""
    place = ManagementAddress.of(url, amqp_url)

    assert (place.base_url, place.vhost) == (base_url, vhost)
    assert place.authorization == aiohttp.encode_basic_auth(*user)
    assert place.authorization not in repr(place)


def test_what_is_neither_ready_nor_unacknowledged_is_on_its_way() -> None:
    """A rejected message counts until its retry queue has confirmed it."""
    assert QueueStats(messages=10, ready=3, unacknowledged=2).on_their_way == 5
    assert QueueStats(messages=4, ready=3, unacknowledged=2).on_their_way == 0


@pytest.fixture
async def api_url(aiohttp_server: AiohttpServer) -> str:
    """An API that has the virtual host /, without exchanges, and nothing else."""

    async def queues(_: web.Request) -> web.Response:  # ruff: ignore[unused-async]
        return web.json_response([{"messages": 1}, {"name": "webhooks.work"}])

    app = web.Application()
    app.router.add_get("/api/queues/{vhost:%2F}", queues)
    return str((await aiohttp_server(app)).make_url(""))


async def test_an_unknown_virtual_host_is_an_error(api_url: str) -> None:
    """No queues at all would look like a broker whose queues are gone, and hide a wrong URL."""
    async with management_api(api_url, "amqp://u:p@mq/other") as api:
        with pytest.raises(ManagementError) as raised:
            await api.queues()

    assert raised.value.reason == "ClientResponseError"


async def test_an_unknown_exchange_has_no_bindings(api_url: str) -> None:
    """A change of the retry schedule looks before the exchange is declared."""
    async with management_api(api_url, "amqp://u:p@mq/") as api:
        assert await api.bindings_from("webhooks.failed") == frozenset()


async def test_an_entry_without_a_name_is_skipped(api_url: str) -> None:
    """A poller that it ends would end the metrics service."""
    async with management_api(api_url, "amqp://u:p@mq/") as api:
        assert await api.queues() == {"webhooks.work": None}


def test_a_broker_that_drops_in_our_cycle_is_refused() -> None:
    """Versions before and after the broken ones are accepted, including future ones."""
    for version in ("3.13.0", "3.13.1", "3.13.2"):
        with pytest.raises(CannotStartError, match=rf"{version}.*3\.13\.3"):
            refuse_broken_broker(version)
    for version in ("3.10.8", "3.12.14", "3.13.3", "4.0.1", "4.3.5", ""):
        refuse_broken_broker(version)
