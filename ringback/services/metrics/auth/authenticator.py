"""Identifies the caller by the bearer token in the Authorization header."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import jwt
from grpc import StatusCode

from ringback.services.metrics.auth.keys import Keys
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    permission_denied,
    unauthenticated,
    unavailable,
)

NO_TOKEN = "A bearer token is required."  # ruff: ignore[hardcoded-password-string]  # a message
BAD_TOKEN = "The token is not accepted."  # ruff: ignore[hardcoded-password-string]  # a message
NO_KEYS = "Tokens cannot be checked now: their keys could not be fetched. Try again later."
BAD_ROLE = "This role may not call the API; the claim `role` must be tenant or service."

MAX_TOKEN = 8192
_LEEWAY_S = 5
_MAX_SUBJECT = 255
#: The database uses the first for "no organisation", and the second for totals of all of them.
_RESERVED_ORGS = {UUID(int=0), UUID(int=2**128 - 1)}


class TokenRefusedError(Exception):
    """Why a token was rejected, for the log. The text names claims, but no values."""


class Authenticator:
    """Accepts tokens signed by one of `keys` for `audience`, and by `issuer` if one is given.

    `refresh` fetches the keys if they are at a URL.
    """

    def __init__(
        self,
        keys: Keys,
        audience: str,
        issuer: str | None,
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._refresh = refresh

    async def authenticate(self, authorization: str | None) -> Principal:
        """Like `check`, but first fetches the keys if the right one may be missing."""
        try:
            return self.check(authorization)
        except ApiError as error:
            if error.code is not StatusCode.UNAVAILABLE or self._refresh is None:
                raise
        await self._refresh()
        return self.check(authorization)

    def check(self, authorization: str | None) -> Principal:
        """Return the caller named by the header `Authorization: Bearer ...`.

        Raises ApiError: PERMISSION_DENIED for a valid token with an unknown role, UNAVAILABLE if
        the key may be one that could not be fetched, else UNAUTHENTICATED. Why a token is invalid
        is only in the error's `__cause__`, for the log.
        """
        if not authorization:
            raise unauthenticated(NO_TOKEN)
        try:
            claims = self._claims(_token(authorization))
        except ApiError:
            raise
        except Exception as exc:  # any error means that the token is invalid
            raise unauthenticated(BAD_TOKEN) from exc
        return principal_of(claims)

    def _claims(self, token: str) -> Mapping[str, Any]:
        found = self._keys.key_of(jwt.get_unverified_header(token).get("kid"))
        if found is None and self._keys.may_lack_keys():
            raise unavailable(Reason.KEYS_UNAVAILABLE, NO_KEYS)
        if found is None:
            raise TokenRefusedError("kid is unknown")
        return jwt.decode(
            token,
            found.key,
            # The algorithm of our key, not the one that the token names.
            algorithms=[found.algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "aud", "sub"]},
        )


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """The caller whom verified claims name: `sub`, `role`, and `org_id` of a tenant.

    Raises ApiError, as `Authenticator.check` does.
    """
    try:
        org_id, subject = _org(claims), _subject(claims)
    except Exception as exc:  # any error means that the token is invalid
        raise unauthenticated(BAD_TOKEN) from exc
    role = _role(claims)
    if role is Role.SERVICE:
        return Principal(role, None, subject)
    if org_id is None:
        raise unauthenticated(BAD_TOKEN) from TokenRefusedError("a tenant without org_id")
    return Principal(role, org_id, subject)


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise TokenRefusedError("the scheme is not Bearer")
    if len(token) > MAX_TOKEN:
        raise TokenRefusedError("too long")
    return token.strip()


def _org(claims: Mapping[str, Any]) -> UUID | None:
    """None if the claim is absent. Raises TokenRefusedError for an invalid organisation."""
    text = claims.get("org_id")
    if text is None:
        return None
    if not isinstance(text, str):
        raise TokenRefusedError("org_id is not text")
    try:
        org_id = UUID(text)
    except ValueError:
        raise TokenRefusedError("org_id is not a UUID") from None
    if org_id in _RESERVED_ORGS:
        raise TokenRefusedError("org_id is reserved")
    return org_id


def _subject(claims: Mapping[str, Any]) -> str:
    """The audit keeps the subject forever, so it must be one line of text and not blank."""
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip():
        raise TokenRefusedError("sub is empty")
    if len(subject) > _MAX_SUBJECT or not subject.isprintable():
        raise TokenRefusedError("sub is not a short line of text")
    return subject


def _role(claims: Mapping[str, Any]) -> Role:
    try:
        return Role(str(claims.get("role")))
    except ValueError:
        raise permission_denied(BAD_ROLE) from TokenRefusedError("role is unknown")
