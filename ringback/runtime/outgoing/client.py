"""The HTTP client for URLs that others declare: it checks addresses, limits calls, has a breaker.

    busy? ▸ breaker ▸ address of each connection ▸ send once ▸ status and bounded body

The address is checked when its socket is created. So a name that resolves to another address the
second time does not bypass the check, and an address in the URL, which needs no resolver, does not
either. Redirects are not followed. The environment's proxy settings are ignored, because a proxy
resolves names itself and its result cannot be checked.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from ringback.runtime.outgoing.addresses import AllowedAddresses, Network
from ringback.runtime.outgoing.breaker import Destination, Outcome
from ringback.runtime.outgoing.outcome import outcome_of_status

CONNECT_TIMEOUT_S = 2.0
_MAX_HEAD_BYTES = 16 * 1024
_MAX_HEADERS = 100
_KEEPALIVE_S = 15.0
_BEGINNING_S = 1.0
_LOOKUPS = ThreadPoolExecutor(128, thread_name_prefix="lookup")
"""Looks names up. uvloop does so for two names at once: if their name servers do not answer, no
other destination is called, and no connection to the broker or the database is opened.
"""


class Failure(StrEnum):
    """Why a call got no answer. Metrics and logs name it by its value."""

    #: Too many calls to the destination are in flight.
    BUSY = "busy"
    #: The breaker is open, because earlier calls failed.
    BREAKER_OPEN = "breaker_open"
    #: The destination's address is not public, and no setting allows it.
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    #: The name does not resolve, the port refuses the connection, or the TLS handshake fails.
    NOT_CONNECTED = "not_connected"
    #: The connection was lost before the whole answer.
    CONNECTION_LOST = "connection_lost"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    #: The answer is not valid HTTP.
    NOT_HTTP = "not_http"


class OutgoingError(Exception):
    """A call got no answer. `was_sent`: the destination may have received a part of the request."""

    def __init__(self, failure: Failure, *, was_sent: bool = False) -> None:
        super().__init__(failure.value)
        self.failure = failure
        self.was_sent = was_sent


class StatusError(Exception):
    """An answer that counts as a failure; for the destination, which reports its last error."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class AddressNotAllowedError(OSError):
    """Raised instead of connecting. Its text has no address, so that none is revealed."""

    def __init__(self) -> None:
        super().__init__("address not allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A POST, or a GET if there is no body.

    `is_answer_cut`: only the status matters. Of the body, what arrives within a second is returned,
    up to `max_answer_bytes`.
    """

    url: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(repr=False)
    timeout_s: float
    max_answer_bytes: int
    is_answer_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer of any status, also of a redirect."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _Lookups:
    """What aiohttp's resolver needs of an event loop."""

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        look_up = partial(socket.getaddrinfo, host, port, **options)
        return await asyncio.get_running_loop().run_in_executor(_LOOKUPS, look_up)

    async def getnameinfo(self, address: Any, flags: int) -> tuple[str, str]:
        return await asyncio.get_running_loop().getnameinfo(address, flags)


def _thread_resolver() -> AbstractResolver:
    return aiohttp.ThreadedResolver(cast("asyncio.AbstractEventLoop", _Lookups()))


class OutgoingClient:
    """Sends requests while entered.

    Plain http is only for the allowed networks. A URL that begins with `unix:` is for the socket of
    a process of ours. `resolver` and `tls` are for tests.
    """

    def __init__(
        self,
        networks: tuple[Network, ...] = (),
        *,
        unix_socket: Path | None = None,
        resolver: Callable[[], AbstractResolver] = _thread_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._networks = networks
        self._unix_socket = unix_socket
        self._resolver = resolver
        self._tls = tls
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        async with AsyncExitStack() as stack:
            for scheme, is_public_allowed in (("https", True), ("http", False)):
                allowed = AllowedAddresses(self._networks, is_public_allowed)
                connector = guarded_connector(allowed, resolver=self._resolver, tls=self._tls)
                session = _session(connector, CONNECT_TIMEOUT_S)
                self._sessions[scheme] = await stack.enter_async_context(session)
            if self._unix_socket is not None:
                unix = aiohttp.UnixConnector(
                    str(self._unix_socket), limit=0, keepalive_timeout=_KEEPALIVE_S
                )
                # A process of ours accepts late only if the machine is busy. That is no failure.
                session = _session(unix, connect_timeout_s=None)
                self._sessions["unix"] = await stack.enter_async_context(session)
            yield self

    async def send(self, destination: Destination, request: Request) -> Response:
        """Send a request and return the whole answer. Raises OutgoingError.

        It is sent again only if a kept connection turned out to be closed before a byte was sent.
        """
        permit = destination.begin()
        if permit is None:
            raise OutgoingError(Failure.BUSY if destination.is_busy else Failure.BREAKER_OPEN)
        outcome: Outcome = Outcome.CANCELLED
        error: BaseException | None = None
        try:
            response = await self._send(request)
            outcome, error = outcome_of_status(response.status), StatusError(response.status)
        except OutgoingError as exc:
            outcome, error = outcome_of_failure(exc.failure), exc.__cause__ or exc
            raise
        finally:
            destination.end(permit, outcome, error)
        return response

    async def _send(self, request: Request) -> Response:
        progress = SimpleNamespace(was_sent=False)
        try:
            async with asyncio.timeout(request.timeout_s) as progress.deadline:
                try:
                    return await self._send_once(request, progress)
                except aiohttp.ClientConnectionError as exc:
                    if not was_closed_before(exc):
                        raise
                    progress.was_sent = False
                    return await self._send_once(request, progress)
        except (aiohttp.ClientError, OSError, TooLargeError) as exc:
            raise OutgoingError(failure_of(exc), was_sent=progress.was_sent) from exc

    async def _send_once(self, request: Request, progress: SimpleNamespace) -> Response:
        session = self._sessions[request.url.partition(":")[0].lower()]
        async with session.request(
            hdrs.METH_GET if request.body is None else hdrs.METH_POST,
            request.url,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            trace_request_ctx=progress,
        ) as answer:
            if request.is_answer_cut:
                progress.deadline.reschedule(None)
                body = await _read_beginning(answer.content, request.max_answer_bytes)
            else:
                body = await read_bounded(answer.content, request.max_answer_bytes)
            return Response(status=answer.status, headers=answer.headers, body=body)


def guarded_connector(
    allowed: AllowedAddresses,
    *,
    resolver: Callable[[], AbstractResolver] = _thread_resolver,
    tls: ssl.SSLContext | None = None,
) -> aiohttp.TCPConnector:
    """A connector that connects only to these addresses."""
    return aiohttp.TCPConnector(
        # Each destination has its own limit. With one here, a slow one would delay the others.
        limit=0,
        ssl=tls if tls is not None else True,
        resolver=_GuardedResolver(resolver(), allowed),
        keepalive_timeout=_KEEPALIVE_S,
        socket_factory=lambda info: _guarded_socket(info, allowed),
    )


SESSION_LIMITS: Mapping[str, Any] = {
    "trust_env": False,
    "max_line_size": _MAX_HEAD_BYTES,
    "max_field_size": _MAX_HEAD_BYTES,
    "max_headers": _MAX_HEADERS,
}


def _session(
    connector: aiohttp.BaseConnector, connect_timeout_s: float | None
) -> aiohttp.ClientSession:
    tracing = aiohttp.TraceConfig()
    tracing.on_request_chunk_sent.append(_mark_sent)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s),
        auto_decompress=False,
        trace_configs=[tracing],
        **SESSION_LIMITS,
    )


class _GuardedResolver(AbstractResolver):
    """Refuses a name if any of its addresses is not allowed: such a name cannot be trusted."""

    def __init__(self, resolver: AbstractResolver, allowed: AllowedAddresses) -> None:
        self._resolver = resolver
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            found = await self._resolver.resolve(host, port, family)
        except UnicodeError as exc:
            # An empty part between dots, or one of more than 63 characters.
            raise OSError("not a host name") from exc
        if not all(self._allowed.allows(one["host"]) for one in found):
            raise AddressNotAllowedError
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _guarded_socket(info: AddrInfoType, allowed: AllowedAddresses) -> socket.socket:
    family, kind, protocol, _, address = info
    if not allowed.allows(str(address[0])):
        raise AddressNotAllowedError
    return socket.socket(family, kind, protocol)


async def _mark_sent(  # ruff: ignore[unused-async]  # aiohttp awaits it
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestChunkSentParams,
) -> None:
    del session, params
    context.trace_request_ctx.was_sent = True


class TooLargeError(Exception):
    """An answer is larger than the caller allows."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the answer has more than {max_bytes} bytes")


async def read_bounded(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in content.iter_any():
        size_bytes += len(piece)
        if size_bytes > max_bytes:
            raise TooLargeError(max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


async def _read_beginning(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """What arrives in time and without an error, up to a size."""
    read = bytearray()
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout(_BEGINNING_S):
            async for piece in content.iter_any():
                read += piece
                if len(read) >= max_bytes:
                    break
    return bytes(read[:max_bytes])


def failure_of(error: BaseException) -> Failure:
    """The failure that an error of aiohttp means."""
    if isinstance(error, TooLargeError):
        return Failure.TOO_LARGE
    if isinstance(error, TimeoutError):
        return Failure.TIMEOUT
    # A host name that cannot be encoded, for example because it is too long, has no address.
    has_no_name = any(isinstance(one, UnicodeError) for one in _causes(error))
    if not has_no_name and any(isinstance(one, _NOT_ALLOWED_ERRORS) for one in _causes(error)):
        return Failure.ADDRESS_NOT_ALLOWED
    if has_no_name or isinstance(error, aiohttp.ClientConnectorError):
        return Failure.NOT_CONNECTED
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure.NOT_HTTP
    return Failure.CONNECTION_LOST


_NOT_ALLOWED_ERRORS = (AddressNotAllowedError, aiohttp.InvalidURL)


def was_closed_before(error: BaseException) -> bool:
    """Whether the connection was closed before the request was written.

    aiohttp writes the head and the whole body at once, so then no byte was sent.
    """
    return any(isinstance(one, aiohttp.ClientConnectionResetError) for one in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_FAILED = frozenset(
    {Failure.NOT_CONNECTED, Failure.CONNECTION_LOST, Failure.TIMEOUT, Failure.NOT_HTTP}
)
"""Failures that show that the destination is in trouble."""


def outcome_of_failure(failure: Failure) -> Outcome:
    return Outcome.FAILED if failure in _FAILED else Outcome.CANCELLED
