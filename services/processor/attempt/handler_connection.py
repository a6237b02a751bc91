"""A pooled connection that handlers may use for one attempt, and that may end with it."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.runtime.postgres.queries import load

_PACKAGE = "services.processor.attempt"
_ANSWERS_WITHIN_S = 5.0

_SERVER_ERRORS = ("08", "53", "57P", "58", "XX")
"""Beginnings of the SQLSTATEs by which a server reports that it stops, is full or broken."""

_LACKS = ("53", "58")
"""Of those, the ones by which it reports that its disk, its memory or its system fails it."""


class TransactionLostError(Exception):
    """The transaction or its connection ended, and the handler may not be the reason."""


class ServerRefusesError(TransactionLostError):
    """The server refused a statement of ours for a reason that is none of the handler's."""


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
        self.ours = acquired

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
        _detach(self.ours)
        self._lent = LentConnection(self._holder, self._raw)
        return self._lent

    def take_back(self) -> None:
        """Make every later call of the handlers on this connection fail.

        Raises TransactionLostError if the connection has ended, which a handler cannot cause.
        """
        assert self._lent is not None
        _detach(self._lent)
        if self._raw.is_closed():
            raise TransactionLostError("The connection of the handler has ended.")
        self.ours = self._holder._proxy = PoolConnectionProxy(self._holder, self._raw)  # ruff: ignore[private-member-access]  # as above

    async def take_settings_back(self) -> None:
        """Undo the handler's settings that affect the statements that follow."""
        await self.ours.execute(load(_PACKAGE, "own_settings.sql"))

    async def commit(self) -> None:
        """Commit, and reset what the handler left in the session, in one round trip."""
        done = await self.ours.execute(load(_PACKAGE, "commit_and_reset.sql"))
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
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                await self._transaction.rollback()
                found = await self.ours.fetchrow(
                    load("services.processor.log", "transaction_fate.sql"), transaction_id
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

    def is_lost(self, exc: BaseException) -> bool:
        """Whether an error of our own statement means that the server or the network failed."""
        if isinstance(exc, OSError | TimeoutError | asyncpg.InternalClientError):
            return True
        state = str(exc.sqlstate) if isinstance(exc, asyncpg.PostgresError) else ""
        return self._raw.is_closed() or state.startswith(_SERVER_ERRORS)

    def lost(self, exc: BaseException) -> TransactionLostError:
        """What an error of our own statement comes to, for which `is_lost` holds."""
        if isinstance(exc, asyncpg.PostgresError) and str(exc.sqlstate).startswith(_LACKS):
            return ServerRefusesError(f"{type(exc).__qualname__}: {exc}")
        return TransactionLostError("The connection of the handler has ended.")

    async def give_back(self) -> None:
        """Return it to the pool as if no handler had used it, or end it if that fails."""
        if self._lent is not None:
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    await self._raw._reset()  # ruff: ignore[private-member-access]  # does not ask the server
                    if not self._is_committed:
                        await self.commit()
            except Exception:  # ruff: ignore[blind-except]  # as above
                return
            if self._lent.is_altered or not self._is_reset:
                return
        self._is_open = False
        await self._pool.release(self.ours)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._raw.terminate()
