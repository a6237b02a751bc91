"""Attempts with transactional handlers: they write in the transaction that finishes the attempt."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event
from ringback.runtime.postgres.pool import INVALID_DATA_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.handlers import HandlerSelection
from ringback.services.processor.attempt.result import (
    DUPLICATE,
    AttemptResult,
    CallUpdate,
    Wait,
    completed,
    failed,
)
from ringback.services.processor.attempt.run_handlers import run_handlers
from ringback.services.processor.log.delivery_log import (
    BeginResult,
    DeliveryLog,
    RecordedAttempt,
    StartedTransaction,
    link_attempts,
)
from ringback.services.processor.spans import HandlerSpan

_PACKAGE = "ringback.services.processor.attempt"
_ANSWER_TIMEOUT_S = 5.0
_END_TIMEOUT_S = 5.0
_POLL_S = 0.05
_MISUSE_SQLSTATE = "RB001"
"""The SQLSTATE by which `finish_webhook_transaction` reports what a handler changed."""

MISUSE = "ConnectionMisuse"
"""The error class of a handler that left its connection unusable for finishing the attempt."""

_MAY_BE_KEPT = "The handler ended its transaction, so its writes may have been kept."

_REFUSED_WRITES: tuple[type[BaseException], ...] = (
    *INVALID_DATA_ERRORS,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.IntegrityConstraintViolationError,
)
"""Errors of a finishing transaction whose class shows what is wrong with its writes."""

_SERVER_ERRORS = ("08", "53", "57P", "58", "XX")
"""Prefixes of SQLSTATE: the server or the connection failed, not the statement."""

_CONFLICTS = ("40001", "40P01")
"""A serialization failure and a deadlock: the server chose this transaction of two."""

_RESOURCE_ERRORS = ("53", "58")
"""Some of these: the server has a full disk, too little memory, or another system error."""


class TransactionLostError(Exception):
    """The transaction or its connection ended, and the handler may not be the reason."""


class ServerRefusesError(TransactionLostError):
    """The server refused our own statement for a reason other than the handler."""


class LentConnection(PoolConnectionProxy):
    """A handler's view of a connection. It cannot close it, and loses it when it returns.

    The view records what makes the connection unfit for others.
    """

    def __init__(self, holder: Any, raw: asyncpg.Connection) -> None:
        self._raw: asyncpg.Connection | None = None
        super().__init__(holder, raw)
        self.was_closed = False
        self.is_altered = False
        self.has_ended = False

    @property
    def _con(self) -> asyncpg.Connection | None:
        """The connection. asyncpg reads it at each call, when the previous call can be checked."""
        raw = self._raw
        if raw is not None and not raw.is_closed() and not raw.is_in_transaction():
            self.has_ended = True
        return raw

    @_con.setter
    def _con(self, raw: asyncpg.Connection | None) -> None:
        self._raw = raw

    async def close(self, *, timeout: float | None = None) -> None:  # ruff: ignore[async-function-with-timeout]  # asyncpg's signature
        del timeout
        self._refuse()

    def terminate(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        self.was_closed = True
        raise asyncpg.InterfaceError("A handler must not close the connection that it is given.")


def _altering(name: str) -> Callable[..., Any]:
    def altered(self: LentConnection, *arguments: Any, **named: Any) -> Any:
        self.is_altered = True
        return getattr(PoolConnectionProxy, name)(self, *arguments, **named)

    return altered


for _name in ("set_type_codec", "set_builtin_type_codec", "reset_type_codec", "add_query_logger"):
    setattr(LentConnection, _name, _altering(_name))


def _detach(proxy: Any) -> None:
    proxy._detach()  # ruff: ignore[private-member-access]  # as asyncpg does on a release


class HandlerConnection:
    """Open a transaction, `lend` the connection to the handlers, then finish the transaction.

    Always call `close`: it ends the connection unless it goes back to the pool.
    """

    def __init__(self, pool: asyncpg.Pool, acquired: PoolConnectionProxy) -> None:
        self._pool = pool
        given: Any = acquired
        self._holder = given._holder  # ruff: ignore[private-member-access]  # the only way to lend it
        self._raw = given._con  # ruff: ignore[private-member-access]  # as above
        self._lent: LentConnection | None = None
        self._transaction = acquired.transaction()
        self._is_open = True
        self._is_committed = False
        self._is_reset = False
        self.proxy = acquired

    @property
    def has_ended(self) -> bool:
        """Whether the handlers are known to have ended their transaction."""
        return self._lent is not None and self._lent.has_ended

    @property
    def was_closed(self) -> bool:
        return self._lent is not None and self._lent.was_closed

    async def begin(self) -> None:
        await self._transaction.start()

    def lend(self) -> LentConnection:
        _detach(self.proxy)
        self._lent = LentConnection(self._holder, self._raw)
        return self._lent

    def revoke(self) -> None:
        """Make every later call of the handlers on this connection fail.

        Raises TransactionLostError if the connection has ended, which a handler cannot cause.
        """
        assert self._lent is not None
        _detach(self._lent)
        if self._raw.is_closed():
            raise TransactionLostError("The connection of the handler has ended.")
        self.proxy = self._holder._proxy = PoolConnectionProxy(self._holder, self._raw)  # ruff: ignore[private-member-access]  # as above

    async def restore_settings(self) -> None:
        """Undo the handler's settings that affect the statements that follow."""
        await self.proxy.execute(load(_PACKAGE, "own_settings.sql"))

    async def commit(self) -> None:
        """Commit, and reset what the handler left in the session, in one round trip."""
        done = await self.proxy.execute(load(_PACKAGE, "commit_and_reset.sql"))
        # ruff: ignore[private-member-access]  # as a commit of asyncpg's, and as its cache of statements
        self._raw._top_xact, cached = None, len(self._raw._stmt_cache)
        # The server answers "SELECT 5". A handler that deallocated asyncpg's statements broke it.
        self._is_committed = True
        self._is_reset = int(done.rpartition(" ")[2]) >= cached

    async def roll_back(self, transaction_id: str, role_name: str) -> str | None:
        """Roll the transaction back.

        Returns how it ended, `aborted` or `committed`. Returns None if this session cannot know or
        was changed: do not use it again. Raises TransactionLostError if the server does not answer.
        """
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await self._transaction.rollback()
                found = await self.proxy.fetchrow(
                    load(_PACKAGE, "transaction_fate.sql"), transaction_id
                )
        except Exception as exc:  # with a handler's own codecs, asyncpg and we can raise anything
            if self.is_lost(exc):
                raise TransactionLostError(
                    "The connection of the handler does not answer."
                ) from exc
            return None
        if self.has_ended:
            # Between its transactions it may have done what no reset can undo.
            return None
        return found["fate"] if found and found["role_name"] == role_name else None

    async def final_fate(self, transaction_id: str) -> str | None:
        """How the transaction ended, once the server has noticed that its connection did.

        Until then it locks the webhook's row, and recording the failure would wait for that. Raises
        TransactionLostError if the server does not notice in time.
        """
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                # ruff: ignore[async-busy-wait]  # the server sends no notification
                while (fate := await self._current_fate(transaction_id)) == "in progress":
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            raise TransactionLostError("The transaction of the handler does not end.") from exc
        return fate

    async def _current_fate(self, transaction_id: str) -> str | None:
        """`committed`, `aborted` or `in progress`; None if that is too long ago."""
        found = await self._pool.fetchrow(load(_PACKAGE, "transaction_fate.sql"), transaction_id)
        return found["fate"] if found else None

    def is_lost(self, exc: BaseException) -> bool:
        """Whether an error of our own statement is the fault of the server or the network.

        A conflict with another transaction is, too: the same attempt may succeed next time.
        """
        if isinstance(exc, OSError | TimeoutError | asyncpg.InternalClientError):
            return True
        state = str(exc.sqlstate) if isinstance(exc, asyncpg.PostgresError) else ""
        return self._raw.is_closed() or state.startswith(_SERVER_ERRORS) or state in _CONFLICTS

    def lost(self, exc: BaseException) -> TransactionLostError:
        """Convert an error of our own statement for which `is_lost` is true."""
        state = str(exc.sqlstate) if isinstance(exc, asyncpg.PostgresError) else ""
        if state.startswith(_RESOURCE_ERRORS):
            return ServerRefusesError(f"{type(exc).__qualname__}: {exc}")
        if state in _CONFLICTS:
            return TransactionLostError(f"{type(exc).__qualname__}: {exc}")
        return TransactionLostError("The connection of the handler has ended.")

    async def release(self) -> None:
        """Reset the connection and return it to the pool. If that fails, `close` ends it."""
        if self._lent is not None:
            try:
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    await self._raw._reset()  # ruff: ignore[private-member-access]  # does not ask the server
                    if not self._is_committed:
                        await self.commit()
            except Exception:  # ruff: ignore[blind-except]  # as above
                return
            if self._lent.is_altered or not self._is_reset:
                return
        self._is_open = False
        await self._pool.release(self.proxy)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._raw.terminate()


async def complete_in_transaction(
    delivery_log: DeliveryLog,
    context: AttemptContext,
    event: Event,
    selection: HandlerSelection,
    *,
    timeout_s: float,
    call_update: CallUpdate | None,
) -> RecordedAttempt | AttemptResult | Wait:
    """Run the transactional handlers inside the finishing transaction.

    Returns what is recorded after its commit, or what was recorded before. Returns the outcome of
    handlers that failed, or that misused their connection, or the wait for their destination: their
    transaction is rolled back, and the caller still has to record it. Raises one of
    DATABASE_UNAVAILABLE_ERRORS for a statement on a connection that no handler had, and
    TransactionLostError when the connection was lost.
    """
    pool = delivery_log.pool
    connection = HandlerConnection(pool, await pool.acquire())
    try:
        try:
            await link_attempts(connection.proxy, [context])
            await connection.begin()
            started = await delivery_log.begin_transaction(connection.proxy, context)
        except INVALID_DATA_ERRORS as exc:
            return failed(type(exc).__qualname__, str(exc))
        result: RecordedAttempt | AttemptResult | Wait | None = _known(started.begun)
        if result is None:
            with context.handling:
                result = await run_handlers(
                    selection.transactional,
                    event,
                    connection.lend(),
                    timeout_s=timeout_s,
                    watch=HandlerSpan(context.span),
                    schedules=selection.schedules,
                )
            connection.revoke()
            result = _closed(connection) or result
            if isinstance(result, AttemptResult) and result.outcome is AttemptOutcome.COMPLETED:
                context.ended_at = datetime.now(UTC)
                result = await _commit(
                    delivery_log, connection, started, context, completed(call_update)
                )
        return await _end(connection, started, result)
    finally:
        connection.close()


def _known(begun: BeginResult) -> RecordedAttempt | AttemptResult | None:
    """The result if no handler is to run."""
    if begun.recorded is not None:
        return RecordedAttempt(begun.recorded, is_fresh=False, duplicate_of=begun.duplicate_of)
    return None if begun.duplicate_of is None else DUPLICATE


def _closed(connection: HandlerConnection) -> AttemptResult | None:
    if not connection.was_closed:
        return None
    return failed(MISUSE, "The handler tried to close the connection that it was given.")


async def _commit(
    delivery_log: DeliveryLog,
    connection: HandlerConnection,
    started: StartedTransaction,
    context: AttemptContext,
    result: AttemptResult,
) -> RecordedAttempt | AttemptResult:
    """Finish the attempt. The caller rolls back unless the result is fresh and complete."""
    try:
        await connection.restore_settings()
        recorded = await delivery_log.finish_transaction(connection.proxy, started, context, result)
        if not recorded.is_fresh:
            return recorded
        if recorded.outcome is not AttemptOutcome.COMPLETED:
            return DUPLICATE
        await connection.commit()
    except _REFUSED_WRITES as exc:
        return failed(type(exc).__qualname__, str(exc))
    except Exception as exc:  # with a handler's own codecs, asyncpg and we can raise anything
        if connection.is_lost(exc):
            raise connection.lost(exc) from exc
        return failed(MISUSE, _misuse(exc))
    return recorded


def _misuse(exc: BaseException) -> str:
    if isinstance(exc, asyncpg.PostgresError) and exc.sqlstate == _MISUSE_SQLSTATE:
        return str(exc)
    return (
        "The handler left its connection in a state in which the attempt cannot be finished: "
        f"{type(exc).__qualname__}: {exc}"
    )


async def _end(
    connection: HandlerConnection,
    started: StartedTransaction,
    result: RecordedAttempt | AttemptResult | Wait,
) -> RecordedAttempt | AttemptResult | Wait:
    """Release the connection, and roll back the transaction if it is not committed."""
    if isinstance(result, RecordedAttempt) and result.is_fresh:
        await connection.release()
        return result
    fate = await connection.roll_back(started.transaction_id, started.role_name)
    if fate is not None:
        await connection.release()
    connection.close()
    if fate is None:
        fate = await connection.final_fate(started.transaction_id)
    if isinstance(result, RecordedAttempt) or not (connection.has_ended or fate == "committed"):
        return result
    if isinstance(result, Wait):
        # It would be repeated without using an attempt, each time with its writes.
        return failed(MISUSE, _MAY_BE_KEPT)
    return result.with_note(_MAY_BE_KEPT)
