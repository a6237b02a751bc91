"""Tests for `ringback topology access`: a real broker imports what it writes."""

import base64
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import aiohttp
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from ringback.cli.commands.topology import BrokerPasswords
from ringback.contract import topology as names
from ringback.contract.broker_access import USERS, definitions, password_hash
from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp import topology
from tests.integration.cli.command import ringback

PASSWORDS = {name: f"the {name}'s own: {os.urandom(4).hex()}" for name in USERS}


@asynccontextmanager
async def broker_users(
    broker: PrivateBroker, amqp_url: str, passwords: Mapping[str, str] = PASSWORDS
) -> AsyncGenerator[dict[str, str], None]:
    """The address of the virtual host for each user, while the users are there."""
    vhost = unquote(urlsplit(amqp_url).path[1:])
    hashes = {name: password_hash(text, os.urandom(4)) for name, text in passwords.items()}
    async with broker.management() as api:
        async with api.post("/api/definitions", json=definitions(hashes, vhost)) as answer:
            assert answer.ok, await answer.text()
        place = f"127.0.0.1:{broker.ports.amqp}/{quote(vhost, safe='')}"
        try:
            yield {
                name: f"amqp://{name}:{quote(password, safe='')}@{place}"
                for name, password in passwords.items()
            }
        finally:
            async with api.post(
                "/api/users/bulk-delete", json={"users": list(passwords)}
            ) as answer:
                assert answer.ok, await answer.text()


SCHEDULE = RetrySchedule.parse("1s,2s")
FIRST_RETRY_QUEUE = SCHEDULE.retry_queues[0].queue_name


@pytest.fixture
async def urls(broker: PrivateBroker, amqp_url: str) -> AsyncIterator[dict[str, str]]:
    """An address for each user, on a virtual host whose topology the user for it has declared."""
    async with broker_users(broker, amqp_url) as made:
        await topology.apply(made["topology"], SCHEDULE)
        yield made


async def publish(channel: AbstractChannel, exchange: str) -> None:
    """Publish with a confirm; it is no webhook, and nobody reads it."""
    to = await channel.get_exchange(exchange, ensure=False) if exchange else None
    message = aio_pika.Message(b"{}")
    await (to or channel.default_exchange).publish(message, names.QUARANTINE_QUEUE, timeout=10)


async def consume(channel: AbstractChannel, queue: str) -> None:
    reader = await channel.get_queue(queue, ensure=False)
    await reader.cancel(await reader.consume(_leave, timeout=10))


async def _leave(_: object) -> None:
    """What comes goes back when the channel closes."""


async def declare(channel: AbstractChannel, queue: str) -> None:
    await channel.declare_queue(queue, timeout=10)


SETTINGS = {f"RINGBACK_BROKER_{name.upper()}_PASSWORD": text for name, text in PASSWORDS.items()}

Act = Callable[[AbstractChannel, str], Awaitable[None]]

ACTS: list[tuple[Act, str]] = [
    *((publish, exchange) for exchange in (names.WEBHOOKS, names.FAILED, names.DEAD, "")),
    *((consume, names.WORK_QUEUE), (consume, names.QUARANTINE_QUEUE)),
    *((consume, names.DEAD_LETTER_QUEUE), (consume, FIRST_RETRY_QUEUE)),
    *((declare, "webhooks.new"), (declare, "another")),
]

ALLOWED: dict[str, list[tuple[Act, str]]] = {
    "gateway": [(publish, names.WEBHOOKS)],
    "processor": [
        (publish, names.DEAD),
        (publish, ""),
        (consume, names.WORK_QUEUE),
        (consume, names.QUARANTINE_QUEUE),
        (consume, names.DEAD_LETTER_QUEUE),
    ],
    "metrics": [(publish, names.WEBHOOKS)],
}


async def test_a_service_may_do_its_work_and_nothing_else(urls: dict[str, str]) -> None:
    """One that was broken into can neither read what it does not work on nor change a queue."""
    for user, allowed in ALLOWED.items():
        async with await aio_pika.connect(urls[user]) as connection:
            done = [act for act in ACTS if await _may(connection, *act)]

        assert done == allowed, user


async def _may(connection: aio_pika.abc.AbstractConnection, act: Act, place: str) -> bool:
    channel = await connection.channel()
    try:
        await act(channel, place)
    except ChannelAccessRefused:
        return False
    await channel.close()
    return True


async def test_a_service_sees_that_its_topology_stands(urls: dict[str, str]) -> None:
    """It refuses to start without, and needs no right to look."""
    for user in ALLOWED:
        async with await aio_pika.connect(urls[user]) as connection:
            await topology.require_topology(connection, names.topology(SCHEDULE))


async def test_the_one_that_declares_has_no_say_beyond_our_names(urls: dict[str, str]) -> None:
    """It may declare, and check by declaring again; what others keep there is not for it."""
    assert await topology.check(urls["topology"], SCHEDULE) == []

    async with await aio_pika.connect(urls["topology"]) as connection:
        assert not await _may(connection, declare, "another")


async def test_only_who_needs_it_asks_the_management_api(
    urls: dict[str, str], broker: PrivateBroker
) -> None:
    """Metrics count what is unacknowledged, processors look at bindings: AMQP tells neither."""
    answered = {}
    for user in ALLOWED:
        headers = {"Authorization": aiohttp.encode_basic_auth(user, PASSWORDS[user])}
        vhost = urls[user].rpartition("/")[2]
        async with (
            aiohttp.ClientSession(broker.management_url, headers=headers) as api,
            api.get(f"/api/queues/{vhost}") as answer,
        ):
            answered[user] = answer.status

    assert answered == {"gateway": 401, "processor": 200, "metrics": 200}


async def test_no_password_is_written(tmp_path: Path) -> None:
    """The file has salted hashes, another salt each time."""
    file = tmp_path / "definitions.json"
    texts = []
    for _ in range(2):
        words = ("topology", "access", "--to", str(file))
        told = await ringback(*words, cwd=tmp_path, **SETTINGS)
        assert told.status == 0, told.err
        texts.append(file.read_text(encoding="utf-8"))

    assert not [name for name, secret in PASSWORDS.items() if secret in texts[0]]
    assert texts[0] != texts[1]
    written = json.loads(texts[0])
    hashes = {user["name"]: user["password_hash"] for user in written["users"]}
    assert written == definitions(hashes)
    assert [name for name, text in PASSWORDS.items() if _fits(text, hashes[name])] == list(USERS)


def _fits(password: str, hashed: str) -> bool:
    return password_hash(password, base64.b64decode(hashed)[:4]) == hashed


async def test_what_lacks_a_password_is_named(tmp_path: Path) -> None:
    """All that is missing at once; only the person's may be left out."""
    told = await ringback("topology", "access", "--to", "x", cwd=tmp_path)

    required = [name for name, field in BrokerPasswords.model_fields.items() if field.is_required()]
    assert told.status == 2
    assert len(required) == 4
    assert not [name for name in required if f"RINGBACK_{name}".upper() not in told.err]
    assert "ADMINISTRATOR" not in told.err
