"""What PostgreSQL refuses, and what is an outage or passes by itself."""

import traceback

import asyncpg
import pytest

from ringback.runtime.postgres.refusal import detail_of, refusal

REFUSED = [
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedTableError,
    asyncpg.PostgresSyntaxError,
    asyncpg.CheckViolationError,
    asyncpg.NotNullViolationError,
    asyncpg.DataError,
    asyncpg.CardinalityViolationError,
    asyncpg.RaiseError,
]
PASSING = [
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidPasswordError,
    asyncpg.InterfaceError,
    ConnectionRefusedError,
    TimeoutError,
]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_statement_is_told_by_its_sqlstate(kind: type[asyncpg.PostgresError]) -> None:
    refused = refusal(kind("x"))

    assert refused is not None
    assert str(refused).startswith(f"{kind.__name__} {kind.sqlstate}")


@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_no_refusal(kind: type[Exception]) -> None:
    assert refusal(kind("x")) is None


def test_names_are_shown_and_values_are_not() -> None:
    """A row that is refused may have secrets; PostgreSQL quotes it."""
    missing = asyncpg.InsufficientPrivilegeError("permission denied for table calls")
    row = asyncpg.CheckViolationError('new row violates check "c" with s3cret')
    row.detail = "Failing row contains (s3cret)."
    row.table_name, row.constraint_name = "calls", "c"

    try:
        raise row
    except asyncpg.CheckViolationError as exc:
        refused = refusal(exc)

    assert refused is not None
    shown = "".join(traceback.format_exception(refused))
    assert "StatementRefusedError: CheckViolationError 23514: calls, c" in shown
    assert "raise row" in shown
    assert "s3cret" not in shown
    assert str(refusal(missing)).endswith(" 42501: permission denied for table calls")


def test_the_detail_of_a_log_line_quotes_no_row() -> None:
    row = asyncpg.CheckViolationError('new row violates check "c"')
    row.detail = "Failing row contains (s3cret)."
    assert "s3cret" in str(row)

    assert detail_of(row) == "CheckViolationError 23514"
    assert detail_of(OSError("No route to the host.")) == "No route to the host."
