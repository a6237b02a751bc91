"""The users of the contract on a broker that tests share."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote, unquote, urlsplit

from ringback.contract.broker_access import USERS, definitions, password_hash
from ringback.local.broker import PrivateBroker

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
