"""Tells a statement that PostgreSQL refuses from a database that is unavailable."""

import asyncpg

_REFUSALS = ("21", "22", "23", "2F", "38", "39", "3F", "42", "44", "54", "P0")
"""Classes of SQLSTATE: the statement or its values are wrong, or a right or a migration is missing.

The others are of the connection, of another transaction, or of the server, and may pass.
"""

_NAMES_ONLY = "42"
"""Syntax and access rules: the texts of these errors name objects. Others may contain values."""

_MAX_DETAIL = 200

_OBJECTS = ("table_name", "column_name", "constraint_name")


class StatementRefusedError(Exception):
    """PostgreSQL refuses a statement of ours. The text has no values, which may be secrets."""

    def __init__(self, text: str, sqlstate: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def reason_of(exc: BaseException) -> str:
    """What failed, for a log line: the statement that is refused, else the class of the error."""
    return str(refusal(exc) or type(exc).__name__)


def detail_of(exc: BaseException) -> str:
    """What an error says, for a log line. Its DETAIL, which may quote a row, is left out."""
    return str(refusal(exc) or exc)[:_MAX_DETAIL]


def refusal(exc: BaseException) -> StatementRefusedError | None:
    """What PostgreSQL refused, with the traceback of `exc`; None if `exc` may pass by itself."""
    if not isinstance(exc, asyncpg.PostgresError):
        return None
    state = str(exc.sqlstate)
    if not state.startswith(_REFUSALS):
        return None
    if state.startswith(_NAMES_ONLY):
        objects = [str(exc.args[0])] if exc.args else []
    else:
        objects = [str(found) for name in _OBJECTS if (found := getattr(exc, name, None))]
    text = f"{type(exc).__name__} {state}: {', '.join(objects)}".rstrip(": ")
    return StatementRefusedError(text, state).with_traceback(exc.__traceback__)
