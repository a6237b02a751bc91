"""One connection to RabbitMQ that is replaced whenever it is lost.

aio-pika's robust connection is not used: a publish on it waits for the reconnection outside its
timeout, and consumers can be missing after a reconnection. Here every session starts from scratch:
a service sets up its connection in `on_open` each time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aiormq import TransportFactory
from aiormq.abc import AbstractConnection as AiormqConnection
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.background import BackgroundTask
from ringback.runtime.process.lifecycle import CannotStartError

OnOpen = Callable[[AbstractConnection], Awaitable[None]]

BROKER_UNAVAILABLE_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    aio_pika.exceptions.AMQPError,
    aio_pika.exceptions.ChannelInvalidStateError,
)
"""aio-pika's errors when the broker is unreachable or temporarily refuses."""

HEARTBEAT_S = 10
_CONNECT_TIMEOUT_S = 10.0
_ABORT_TIMEOUT_S = 2.0
_OPEN_TIMEOUT_S = 20.0
_CLOSE_TIMEOUT_S = 3.0
_FIRST_WAIT_S = 0.1
_MAX_WAIT_S = 2.0

log = structlog.get_logger()


def refuse_broken_broker(version: str) -> None:
    """Raise CannotStartError for a RabbitMQ that loses messages in a cycle of dead-lettering.

    3.13.0 to 3.13.2 drop a message that is dead-lettered to the same queue twice, although it was
    rejected in between (github.com/rabbitmq/rabbitmq-server/issues/11159). Our retry schedule does
    exactly that.
    """
    if version in {"3.13.0", "3.13.1", "3.13.2"}:
        raise CannotStartError(
            f"RabbitMQ {version} loses messages in a retry schedule. Use 3.13.3 or later."
        )


class BrokerConnection(BackgroundTask):
    """Keeps a session with the broker.

    `is_connected` is true while the connection is open and `on_open` has run on it. A session ends
    when its connection closes, when `on_open` fails, or by `reconnect()`. The next one follows
    after 0.1 s, doubling to 2 s while attempts fail.
    """

    def __init__(
        self,
        url: str,
        name: str,
        on_open: OnOpen,
        *,
        transport: "BrokerTransport | None" = None,
        open_timeout_s: float = _OPEN_TIMEOUT_S,
        close_timeout_s: float = _CLOSE_TIMEOUT_S,
    ) -> None:
        self._url = url
        self._name = name
        self._on_open = on_open
        self._transport = transport or BrokerTransport()
        self._open_timeout_s = open_timeout_s
        self._close_timeout_s = close_timeout_s
        self._session_ended = asyncio.Event()
        self._first_attempt = asyncio.Event()
        self.is_connected = False
        self.failure: BaseException | None = None

    def reconnect(self) -> None:
        """End this session and open another."""
        self._session_ended.set()

    async def wait_for_first_attempt(self) -> None:
        """Wait until the first session is up or has failed; `failure` then contains the reason."""
        await self._first_attempt.wait()

    async def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await self._session()
                wait_s = _FIRST_WAIT_S
            except BROKER_UNAVAILABLE_ERRORS as exc:
                self.failure = exc
                if wait_s == _FIRST_WAIT_S:
                    log.warning(
                        LogEvent.BROKER_UNAVAILABLE,
                        connection=self._name,
                        reason=type(exc).__name__,
                    )
            except CannotStartError as exc:
                self.failure = exc
                log.error(LogEvent.BROKER_UNUSABLE, connection=self._name, reason=str(exc))  # ruff: ignore[error-instead-of-exception]  # the sentence is enough
            except asyncio.CancelledError as exc:
                if is_cancelled_from_outside():
                    raise
                self.failure = exc
            except Exception as exc:
                self.failure = exc
                log.exception(LogEvent.BROKER_SESSION_FAILED, connection=self._name)
            self._first_attempt.set()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _MAX_WAIT_S)

    async def _session(self) -> None:
        """Run one connection from opening to closing."""
        self._session_ended.clear()
        connection = await _open_connection(self._url, self._name, self._transport)
        connection.close_callbacks.add(self._on_close)
        try:
            async with asyncio.timeout(self._open_timeout_s):
                refuse_broken_broker(_version_of(connection))
                await self._on_open(connection)
            self.is_connected, self.failure = True, None
            self._first_attempt.set()
            log.info(LogEvent.BROKER_CONNECTED, connection=self._name)
            await self._session_ended.wait()
            log.warning(LogEvent.BROKER_LOST, connection=self._name)
        finally:
            self.is_connected = False
            await _close(connection, self._transport, self._close_timeout_s)

    def _on_close(self, *_: Any) -> None:
        self._session_ended.set()


async def _open_connection(url: str, name: str, transport: "BrokerTransport") -> AbstractConnection:
    """Open a connection, or leave nothing open.

    Raises TimeoutError and the rest of BROKER_UNAVAILABLE_ERRORS.
    """
    opening = asyncio.ensure_future(_connect(url, name, transport))
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            return await asyncio.shield(opening)
    except BaseException:
        await _abort_opening(opening, transport)
        raise


async def _connect(url: str, name: str, transport: "BrokerTransport") -> AbstractConnection:
    connection = aio_pika.Connection(
        URL(url).update_query(heartbeat=HEARTBEAT_S), client_properties={"connection_name": name}
    )
    # aio_pika passes these on to aiormq.
    connection.kwargs["transport_factory"] = transport
    await connection.connect()
    return connection


async def _abort_opening(
    opening: asyncio.Future[AbstractConnection], transport: "BrokerTransport"
) -> None:
    """Abort an opening connection.

    The library loses a connection whose opening is cancelled in its last step: it would stay open
    forever, including its heartbeats. So this step is awaited, and the resulting connection is
    closed.
    """
    done, _ = await asyncio.wait({opening}, timeout=_ABORT_TIMEOUT_S)
    if not done:
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        await _close(opening.result(), transport, _CLOSE_TIMEOUT_S)


def _version_of(connection: AbstractConnection) -> str:
    transport = connection.transport
    properties = transport.connection.server_properties if transport else {}
    return str(properties.get("version", ""))


async def _close(
    connection: AbstractConnection, transport: "BrokerTransport", timeout_s: float
) -> None:
    """Close cleanly, but wait only briefly: the other side may be gone.

    aiormq waits until everything is sent, even when it is cancelled. A broker that reads nothing
    would thus prevent the next session, so the connection is aborted.
    """
    closing = asyncio.ensure_future(connection.close())
    closing.add_done_callback(lambda closed: closed.cancelled() or closed.exception())
    try:
        await asyncio.wait({closing}, timeout=timeout_s)
    finally:
        transport.abort()
        # Also when this task is cancelled: a loop that ends while aiormq closes waits forever.
        await asyncio.wait({closing}, timeout=timeout_s)


class BrokerTransport(TransportFactory):
    """Connects as aiormq does, and can abort the newest connection."""

    _newest: asyncio.WriteTransport

    def new_reader(self) -> asyncio.StreamReader:
        return asyncio.StreamReader()

    async def create(
        self, url: URL, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        certificates = options.pop("ssl_context_provider")
        tls = await certificates.get_context() if url.scheme == "amqps" else None
        assert url.host is not None
        assert url.port is not None
        loop = asyncio.get_running_loop()
        reader = self.new_reader()
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            self._newest, _ = await loop.create_connection(
                lambda: protocol, url.host, url.port, ssl=tls, **options
            )
        except OSError as exc:
            raise AMQPConnectionError(*exc.args) from exc
        return reader, asyncio.StreamWriter(self._newest, protocol, reader, loop)

    def abort(self) -> None:
        """Close the newest connection at once, and forget what is not yet sent."""
        self._newest.abort()


def is_cancelled_from_outside() -> bool:
    """Whether this task was cancelled from outside.

    A CancelledError alone does not show this: the library cancels its own futures when a connection
    ends, and a task that awaits one of them gets the error.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class BrokerClient:
    """A subclass sets up each new connection in `_on_open`."""

    def __init__(
        self, amqp_url: str, name: str, *, transport: BrokerTransport | None = None
    ) -> None:
        self._broker_connection = BrokerConnection(
            amqp_url, name, self._on_open, transport=transport
        )

    async def __aenter__(self) -> Self:
        await self._broker_connection.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._broker_connection.__aexit__(kind, error, traceback)

    async def wait_for_first_attempt(self, *, within_s: float) -> None:
        """Wait until the first session is up or has failed, but no longer than this."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._broker_connection.wait_for_first_attempt()

    async def _on_open(self, connection: AbstractConnection) -> None:
        """Set up a connection that was just opened.

        Raises the errors that `BrokerConnection` documents.
        """
        raise NotImplementedError


@contextmanager
def connection_errors_from_cancellation() -> Generator[None, None, None]:
    """Distinguish a closed broker connection from a real cancellation.

    The library cancels its own futures when a connection is closed, so a task that awaits one of
    them gets a CancelledError although nobody cancelled the task. This becomes a ConnectionError.
    When the task really is cancelled, the library may raise its own error or return instead. This
    becomes a CancelledError; otherwise a loop that survives errors would never end.
    """
    before = _cancellations()
    try:
        yield
    except asyncio.CancelledError as exc:
        if _cancellations() > before:
            raise
        raise ConnectionError("The connection was closed in the meantime.") from exc
    except Exception as exc:
        if _cancellations() > before:
            raise asyncio.CancelledError from exc
        raise
    if _cancellations() > before:
        raise asyncio.CancelledError


def _cancellations() -> int:
    """How often the current task was cancelled."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def is_blocked(connection: AiormqConnection) -> bool:
    """Whether the broker has blocked this connection.

    aiormq exposes this only as a coroutine that waits until the block ends, so we check whether it
    would wait.
    """
    ready: Coroutine[Any, Any, None] = connection.ready()
    try:
        ready.send(None)
    except StopIteration:
        return False
    ready.close()
    return True
