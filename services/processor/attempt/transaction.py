"""An attempt whose handlers write in the transaction that finishes it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, Handler
from ringback.runtime.postgres.pool import INVALID_DATA_ERRORS
from services.processor.attempt.context import (
    DUPLICATE,
    AttemptContext,
    Effect,
    Outcome,
    completed,
    failed,
    with_note,
)
from services.processor.attempt.handler_connection import HandlerConnection, TransactionLostError
from services.processor.attempt.handlers import run_handlers
from services.processor.log.delivery_log import (
    DeliveryLog,
    Ended,
    RecordedAttempt,
    StartedTransaction,
)

_ENDS_WITHIN_S = 5.0
_POLL_S = 0.05
_MISUSED = "RB001"
"""The SQLSTATE by which `finish_webhook_transaction` reports what a handler changed."""

MISUSE = "ConnectionMisuse"
"""The error class of a handler that left its connection unusable for finishing the attempt."""

_KEPT = "The handler ended its transaction by itself, so what it wrote may have been kept."

_REFUSED_WRITES: tuple[type[BaseException], ...] = (
    *INVALID_DATA_ERRORS,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.IntegrityConstraintViolationError,
)
"""Errors of a finishing transaction whose class shows what is wrong with its writes."""


async def complete_in_transaction(
    delivery_log: DeliveryLog,
    context: AttemptContext,
    event: Event,
    handlers: Sequence[Handler],
    *,
    now: Callable[[], datetime],
    timeout_s: float,
    effects: Sequence[Effect],
) -> RecordedAttempt | Outcome:
    """Run the handlers inside the finishing transaction.

    Returns what is recorded after its commit, or what was recorded before. Returns the outcome of
    handlers that failed, or that misused their connection: their transaction is rolled back, and
    the caller still has to record the failure. Raises one of DATABASE_UNAVAILABLE_ERRORS for a
    statement on a connection that no handler had, and TransactionLostError when the connection was
    lost.
    """
    connection = await delivery_log.connect()
    try:
        try:
            begun = await delivery_log.begin_transaction(connection, context)
        except INVALID_DATA_ERRORS as exc:
            return failed(type(exc).__qualname__, str(exc))
        result = _known(begun)
        if result is None:
            with context.handling:
                result = await run_handlers(
                    handlers, event, connection.lend(), timeout_s=timeout_s, span=context.span
                )
            connection.take_back()
            result = _closed(connection) or result
            if result.kind is AttemptOutcome.COMPLETED:
                ended = Ended(context, completed(tuple(effects)), now())
                result = await _commit(delivery_log, connection, begun, ended)
        return await _end(delivery_log, connection, begun, result)
    finally:
        connection.close()


def _known(begun: StartedTransaction) -> RecordedAttempt | Outcome | None:
    """The result if no handler is to run."""
    recorded, duplicate_of = begun.begun.recorded, begun.begun.duplicate_of
    if recorded is not None:
        return RecordedAttempt(recorded, is_fresh=False, duplicate_of=duplicate_of)
    return None if duplicate_of is None else DUPLICATE


def _closed(connection: HandlerConnection) -> Outcome | None:
    if not connection.was_closed:
        return None
    return failed(MISUSE, "The handler tried to close the connection that it was given.")


async def _commit(
    delivery_log: DeliveryLog,
    connection: HandlerConnection,
    begun: StartedTransaction,
    ended: Ended,
) -> RecordedAttempt | Outcome:
    """Finish the attempt. The caller rolls back unless the result is fresh and complete."""
    try:
        await connection.take_settings_back()
        recorded = await delivery_log.finish_transaction(connection, begun, ended)
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
    if isinstance(exc, asyncpg.PostgresError) and exc.sqlstate == _MISUSED:
        return str(exc)
    return (
        "The handler left its connection in a state in which the attempt cannot be finished: "
        f"{type(exc).__qualname__}: {exc}"
    )


async def _end(
    delivery_log: DeliveryLog,
    connection: HandlerConnection,
    begun: StartedTransaction,
    result: RecordedAttempt | Outcome,
) -> RecordedAttempt | Outcome:
    """Release the connection, and roll back the transaction if it is not committed."""
    if isinstance(result, RecordedAttempt) and result.is_fresh:
        await connection.give_back()
        return result
    fate = await connection.roll_back(begun.transaction_id, begun.role_name)
    if fate is not None:
        await connection.give_back()
    connection.close()
    if fate is None:
        fate = await _ended_fate(delivery_log, begun.transaction_id)
    if isinstance(result, Outcome) and (connection.has_ended or fate == "committed"):
        return with_note(result, _KEPT)
    return result


async def _ended_fate(delivery_log: DeliveryLog, transaction_id: str) -> str | None:
    """How the transaction ended, once the server has noticed that its connection did.

    Until then it locks the webhook's row, and recording the failure would wait for that.
    """
    try:
        async with asyncio.timeout(_ENDS_WITHIN_S):
            # ruff: ignore[async-busy-wait]  # the server sends no notification
            while (fate := await delivery_log.fate(transaction_id)) == "in progress":
                await asyncio.sleep(_POLL_S)
    except TimeoutError as exc:
        raise TransactionLostError("The transaction of the handler does not end.") from exc
    return fate
