"""The broker's management API, for what AMQP cannot show: bindings and unacknowledged messages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from ringback.contract.topology import Binding

_TIMEOUT_S = 10.0
_COLUMNS = "name,messages,messages_ready,messages_unacknowledged"
_NOT_FOUND = 404
_REFUSED = frozenset({401, 403})


class ManagementError(Exception):
    """The management API did not answer; neither text contains its URL. `reason` is one word."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ManagementAddress:
    """The API's address, the credentials, and the virtual host."""

    base_url: str
    vhost: str
    """Quoted for use in a path."""
    authorization: str = field(repr=False)
    """The value of the Authorization header."""

    @classmethod
    def of(cls, url: str, amqp_url: str) -> "ManagementAddress":
        """User and virtual host come from the AMQP URL; credentials in `url` take precedence."""
        place, amqp = urlsplit(url), urlsplit(amqp_url)
        user, password = place.username or amqp.username, place.password or amqp.password
        host = place.netloc.rpartition("@")[2]
        return cls(
            base_url=f"{place.scheme}://{host}{place.path.rstrip('/')}/api",
            vhost=quote(unquote(amqp.path.removeprefix("/")) or "/", safe=""),
            authorization=aiohttp.encode_basic_auth(
                unquote(user or "guest"), unquote(password or "guest")
            ),
        )

    def session(self) -> aiohttp.ClientSession:
        """A session with these credentials; the caller enters it."""
        return aiohttp.ClientSession(headers={"Authorization": self.authorization})


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Some seconds old: the broker collects them every five."""

    messages: int
    ready: int
    unacknowledged: int

    @property
    def on_their_way(self) -> int:
        """Rejected, and not yet confirmed by the target queue."""
        return max(0, self.messages - self.ready - self.unacknowledged)


class ManagementApi:
    """Created by `management_api`; usable while that is entered."""

    def __init__(
        self, place: ManagementAddress, session: aiohttp.ClientSession, timeout_s: float
    ) -> None:
        self._place = place
        self._session = session
        self._timeout_s = timeout_s

    async def bindings_from(self, exchange: str) -> frozenset[Binding]:
        """The queues bound to an exchange; empty if the exchange does not exist.

        Raises ManagementError.
        """
        path = f"exchanges/{self._place.vhost}/{quote(exchange, safe='')}/bindings/source"
        return frozenset(
            Binding(exchange, str(entry["destination"]), str(entry["routing_key"]))
            for entry in await self._list(path, may_be_missing=True)
            if entry.get("destination_type") == "queue"
        )

    async def queues(self) -> dict[str, QueueStats | None]:
        """All queues by name; None for a queue without numbers yet. Raises ManagementError."""
        entries = await self._list(f"queues/{self._place.vhost}?columns={_COLUMNS}")
        return {str(entry["name"]): _stats(entry) for entry in entries if "name" in entry}

    async def _list(self, path: str, *, may_be_missing: bool = False) -> list[dict[str, Any]]:
        url = URL(f"{self._place.base_url}/{path}", encoded=True)
        try:
            async with asyncio.timeout(self._timeout_s), self._session.get(url) as answer:
                if answer.status == _NOT_FOUND and may_be_missing:
                    return []
                if answer.status in _REFUSED:
                    raise ManagementError(
                        "The broker's management API rejects this user.", "PermissionDenied"
                    )
                answer.raise_for_status()
                entries = await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
            reason = type(exc).__name__
            raise ManagementError(
                f"The broker's management API does not answer ({reason}).", reason
            ) from exc
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise ManagementError(
                "The broker's management API sent an invalid answer.", "InvalidAnswer"
            )
        return entries


@asynccontextmanager
async def management_api(
    url: str, amqp_url: str, *, timeout_s: float = _TIMEOUT_S
) -> AsyncGenerator[ManagementApi, None]:
    """`url` is the API's address, such as http://rabbitmq:15672. Entering sends no request."""
    place = ManagementAddress.of(url, amqp_url)
    async with place.session() as session:
        yield ManagementApi(place, session, timeout_s)


def _stats(entry: dict[str, Any]) -> QueueStats | None:
    try:
        return QueueStats(
            messages=int(entry["messages"]),
            ready=int(entry["messages_ready"]),
            unacknowledged=int(entry["messages_unacknowledged"]),
        )
    except (KeyError, TypeError, ValueError):
        return None
