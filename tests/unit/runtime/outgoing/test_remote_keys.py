"""Key sets at URLs: when they are fetched, and when their keys are no longer trusted."""

import asyncio
from collections.abc import AsyncGenerator
from ipaddress import ip_network

import pytest
from structlog.testing import capture_logs

from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.outgoing.remote_keys import KeyRefresher, RemoteKeySet
from tests.support.eventually import eventually
from tests.support.key_server import KEY, OTHER_KEY, KeyServer, key_server, key_set


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[KeyServer, None]:
    async with key_server() as server:
        yield server


@pytest.fixture(name="client")
async def _client() -> AsyncGenerator[OutgoingClient, None]:
    async with OutgoingClient((ip_network("127.0.0.0/8"),)).running() as client:
        yield client


async def test_a_new_key_is_found_and_old_keys_expire(
    server: KeyServer, client: OutgoingClient
) -> None:
    """An unknown key causes a look after 30 s; without one for an hour, no key is trusted."""
    now_s = 0.0
    keys = RemoteKeySet(server.url, lambda: now_s)
    assert keys.may_lack_keys()
    await keys.refresh(client)
    assert keys.key_of("a") is not None

    server.document = key_set(b=OTHER_KEY)
    await keys.refresh(client)
    assert keys.key_of("b") is None
    assert not keys.may_lack_keys()
    now_s = 30.0
    assert keys.may_lack_keys()
    await asyncio.gather(*(keys.refresh(client) for _ in range(9)))
    assert (server.asked, keys.key_of("a")) == (2, None)
    assert keys.key_of("b") is not None

    server.status = 500
    now_s = 30.0 + 3600.0
    await keys.refresh(client)
    assert keys.key_of("b") is not None
    now_s += 0.1
    assert keys.key_of("b") is None
    assert keys.may_lack_keys()
    # After a failure, the next attempt may come in 5 s.
    await keys.refresh(client)
    assert server.asked == 3
    now_s += 5.0
    server.status = 200
    await keys.refresh(client)
    assert keys.key_of("b") is not None


async def test_keys_are_fetched_before_they_are_needed(server: KeyServer) -> None:
    """At the start, and again after five minutes; a server that fails does not end it."""
    now_s = 0.0
    keys = RemoteKeySet(server.url, lambda: now_s)
    client = OutgoingClient((ip_network("127.0.0.0/8"),))
    async with KeyRefresher(lambda: [keys], client).running():
        await eventually(lambda: keys.key_of("a"))
        server.status, now_s = 500, 301.0
        await eventually(lambda: server.asked == 2)
        server.status, server.document = 200, key_set(a=KEY, b=OTHER_KEY)

        def is_found_later() -> bool:
            nonlocal now_s
            now_s += 10
            return keys.key_of("b") is not None

        await eventually(is_found_later)


async def test_only_allowed_addresses_are_asked() -> None:
    """The rules are those of every request that Ringback sends."""
    keys = RemoteKeySet("https://169.254.169.254/keys")
    async with OutgoingClient().running() as client:
        with capture_logs() as lines:
            await keys.refresh(client)

    assert [line["reason"] for line in lines] == ["address_not_allowed"]
    assert keys.key_of("a") is None
    assert keys.may_lack_keys()


async def test_a_cancelled_caller_does_not_end_the_fetch(
    server: KeyServer, client: OutgoingClient
) -> None:
    """Another one that waits for the same keys gets them."""
    server.gate.clear()
    keys = RemoteKeySet(server.url)
    first, second = (asyncio.create_task(keys.refresh(client)) for _ in range(2))
    await eventually(lambda: server.asked)
    first.cancel()
    server.gate.set()
    await second

    assert keys.key_of("a") is not None
