"""`ringback topology access`: a real broker enforces the permissions that it writes."""

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
    """The URL of each user, on a virtual host with the topology."""
    async with broker_users(broker, amqp_url) as made:
        await topology.apply(made["topology"], SCHEDULE)
        yield made


async def publish(channel: AbstractChannel, exchange: str) -> None:
    """Publish a message with a confirm."""
    to = await channel.get_exchange(exchange, ensure=False) if exchange else None
    message = aio_pika.Message(b"{}")
    await (to or channel.default_exchange).publish(message, names.QUARANTINE_QUEUE, timeout=60)


async def consume(channel: AbstractChannel, queue: str) -> None:
    reader = await channel.get_queue(queue, ensure=False)
    await reader.cancel(await reader.consume(_leave, timeout=60))


async def _leave(_: object) -> None:
    """Leave messages unacknowledged; they return to the queue when the channel closes."""


async def declare(channel: AbstractChannel, queue: str) -> None:
    await channel.declare_queue(queue, timeout=60)


SETTINGS = {f"RINGBACK_BROKER_{name.upper()}_PASSWORD": text for name, text in PASSWORDS.items()}

Action = Callable[[AbstractChannel, str], Awaitable[None]]

ACTIONS: list[tuple[Action, str]] = [
    *((publish, exchange) for exchange in (names.WEBHOOKS, names.FAILED, names.DEAD, "")),
    *((consume, queue) for queue in names.ATTEMPT_QUEUES),
    *((consume, names.DEAD_LETTER_QUEUE), (consume, FIRST_RETRY_QUEUE)),
    *((declare, "webhooks.new"), (declare, "another")),
]

ALLOWED: dict[str, list[tuple[Action, str]]] = {
    "gateway": [(publish, names.WEBHOOKS)],
    "processor": [
        *((publish, exchange) for exchange in (names.WEBHOOKS, names.FAILED, names.DEAD, "")),
        *((consume, queue) for queue in names.ATTEMPT_QUEUES),
        (consume, names.DEAD_LETTER_QUEUE),
    ],
    "metrics": [(publish, names.WEBHOOKS)],
}


async def test_each_service_has_only_its_permissions(urls: dict[str, str]) -> None:
    """A compromised service can neither read other queues nor change one."""
    for user, allowed in ALLOWED.items():
        async with await aio_pika.connect(urls[user]) as connection:
            done = [action for action in ACTIONS if await _may(connection, *action)]

        assert done == allowed, user


async def _may(connection: aio_pika.abc.AbstractConnection, action: Action, target: str) -> bool:
    channel = await connection.channel()
    try:
        await action(channel, target)
    except ChannelAccessRefused:
        return False
    await channel.close()
    return True


async def test_services_read_and_only_topology_declares(urls: dict[str, str]) -> None:
    """Services may check the queues at start; the topology user declares only webhook queues."""
    for user in ALLOWED:
        async with await aio_pika.connect(urls[user]) as connection:
            await topology.require_topology(connection, names.topology(SCHEDULE))

    assert await topology.check(urls["topology"], SCHEDULE) == []
    async with await aio_pika.connect(urls["topology"]) as connection:
        assert not await _may(connection, declare, "another")


async def test_only_some_users_may_use_the_management_api(
    urls: dict[str, str], broker: PrivateBroker
) -> None:
    """Metrics read unacknowledged counts and processors read bindings; AMQP has neither."""
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


async def test_the_file_has_only_salted_hashes(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    texts = []
    for _ in range(2):
        done = await ringback("topology", "access", "--to", str(file), cwd=tmp_path, **SETTINGS)
        assert done.status == 0, done.err
        texts.append(file.read_text(encoding="utf-8"))

    assert not [name for name, secret in PASSWORDS.items() if secret in texts[0]]
    assert texts[0] != texts[1]
    written = json.loads(texts[0])
    hashes = {user["name"]: user["password_hash"] for user in written["users"]}
    assert written == definitions(hashes)
    assert [
        name
        for name, password in PASSWORDS.items()
        if password_hash(password, base64.b64decode(hashes[name])[:4]) == hashes[name]
    ] == list(USERS)


async def test_missing_passwords_are_named(tmp_path: Path) -> None:
    """All at once; only the administrator's is optional."""
    done = await ringback("topology", "access", "--to", "x", cwd=tmp_path)

    required = [name for name, field in BrokerPasswords.model_fields.items() if field.is_required()]
    assert done.status == 2
    assert len(required) == 4
    assert not [name for name in required if f"RINGBACK_{name}".upper() not in done.err]
    assert "ADMINISTRATOR" not in done.err
