"""An attempt whose handlers write in the transaction that finishes it."""

from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.status import AttemptOutcome
from ringback.handlers import Event, Handler
from ringback.runtime.postgres import DATA_REFUSED, DATABASE_AWAY
from services.processor.attempting import Attempting
from services.processor.delivery_log import DeliveryLog, Recorded
from services.processor.outcome import DUPLICATE, Effect, Outcome, failed
from services.processor.run_handlers import run_handlers

_ANSWERS_WITHIN_S = 5.0


class _RollBackError(Exception):
    """Leaves the transaction without its changes, and carries out what is to be told."""

    def __init__(self, result: Outcome | Recorded) -> None:
        super().__init__()
        self.result = result


_HANDLERS_FAULT: tuple[type[BaseException], ...] = (
    *DATA_REFUSED,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.IntegrityConstraintViolationError,
)
"""What a commit raises because of what the handlers wrote, or because they hid an error of it."""


class TransactionLostError(Exception):
    """The transaction ended without us, so the attempt did not happen."""


async def complete_in_transaction(
    delivery_log: DeliveryLog,
    attempting: Attempting,
    event: Event,
    handlers: Sequence[Handler],
    *,
    now: Callable[[], datetime],
    timeout_s: float,
    effects: Sequence[Effect],
) -> Recorded | Outcome:
    """Run the handlers inside the finishing transaction.

    Returns what the log holds once it committed, or what it held before. Returns the outcome of
    handlers that failed: their transaction is rolled back, and the failure is still to be
    recorded. Raises one of DATABASE_AWAY, or TransactionLostError, when the server went away.
    """
    decided: Outcome | Recorded | None = None
    try:
        async with delivery_log.finishing(attempting) as (connection, recorded):
            if not recorded.is_fresh:
                decided = recorded
            elif recorded.outcome is AttemptOutcome.DUPLICATE:
                decided = DUPLICATE
            else:
                with attempting.handling:
                    outcome = await run_handlers(
                        handlers, event, connection, timeout_s=timeout_s, span=attempting.span
                    )
                decided = await _failure_in(outcome, connection)
            _leave_if(decided)
            await delivery_log.end_now(connection, attempting, now(), effects)
    except _RollBackError as rolled_back:
        return rolled_back.result
    except _HANDLERS_FAULT as exc:
        return failed(type(exc).__qualname__, str(exc))
    except DATABASE_AWAY:
        # A handler that ignores its cancellation can hold the connection against our rollback.
        # The connection then ends, and the transaction with it; what was decided still holds.
        if decided is None:
            raise
        return decided
    return recorded


async def _failure_in(outcome: Outcome, connection: PoolConnectionProxy) -> Outcome | None:
    """The outcome if the handlers failed by themselves, not for a server that had gone away."""
    if outcome.kind is not AttemptOutcome.COMPLETED and not await _answers(connection):
        raise TransactionLostError
    if connection.is_closed():
        raise TransactionLostError
    return None if outcome.kind is AttemptOutcome.COMPLETED else outcome


async def _answers(connection: PoolConnectionProxy) -> bool:
    """Whether the server is still there. That it refuses is an answer, that it is busy too."""
    try:
        await connection.execute("SELECT", timeout=_ANSWERS_WITHIN_S)
    except (OSError, TimeoutError, asyncpg.InternalClientError):
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        return not connection.is_closed()
    return True


def _leave_if(decided: Outcome | Recorded | None) -> None:
    if decided is not None:
        raise _RollBackError(decided)
