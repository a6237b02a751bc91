"""One-time codes: a caller of the API creates one, and a browser signs in with it."""

import secrets
from hashlib import sha256

import asyncpg

from ringback.metrics.v1.admin_service_pb2 import (
    CreateConsoleCodeRequest,
    CreateConsoleCodeResponse,
)
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, raise_database_error
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import console_off

_SQL = "ringback.services.metrics.console"
_RANDOM_BYTES = 24
_TIMEOUT_S = 5.0


class ConsoleCodes:
    """`sign_in_url` is the public address of the sign-in page, empty if it is not known."""

    def __init__(
        self, pool: asyncpg.Pool, access: Access, *, is_on: bool, sign_in_url: str
    ) -> None:
        self._pool = pool
        self._access = access
        self._is_on = is_on
        self._sign_in_url = sign_in_url

    async def create_console_code(
        self, request: CreateConsoleCodeRequest, call: Call
    ) -> CreateConsoleCodeResponse:
        """Raises ApiError, FAILED_PRECONDITION if the service has no console."""
        del request  # It has no fields.
        if not self._is_on:
            raise console_off()
        code = secrets.token_urlsafe(_RANDOM_BYTES)
        principal = call.principal
        async with self._access.changing(call) as connection:
            [row] = await connection.fetch(
                load(_SQL, "create_code.sql"),
                _hash(code),
                principal.role.value,
                principal.org_id,
                principal.subject,
            )
        answer = CreateConsoleCodeResponse(code=code, sign_in_url=self._sign_in_url)
        answer.expires_at.FromDatetime(row["expires_at"])
        return answer

    async def use(self, code: str) -> Principal | None:
        """Whose code it is, once; None if it is unknown, used or expired.

        Raises ApiError, UNAVAILABLE while the database cannot be reached. If the connection is lost
        before the answer, the code may be used.
        """
        try:
            row = await self._pool.fetchrow(
                load(_SQL, "use_code.sql"), _hash(code), timeout=_TIMEOUT_S
            )
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise_database_error(exc)
        if row is None:
            return None
        return Principal(Role(row["role"]), row["org_id"], row["subject"])


def _hash(code: str) -> bytes:
    return sha256(code.strip().encode(errors="replace")).digest()
