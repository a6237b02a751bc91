"""Identifies the caller by the bearer token in the Authorization header."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt

from services.metrics.auth.keys import Keys
from services.metrics.auth.principal import Principal, Role
from services.metrics.transport.errors import permission_denied, unauthenticated

NO_TOKEN = "A bearer token is required."  # ruff: ignore[hardcoded-password-string]  # a sentence
BAD_TOKEN = "The token is not accepted."  # ruff: ignore[hardcoded-password-string]  # a sentence
BAD_ROLE = "This role may not call the API."

MAX_TOKEN = 8192
_LEEWAY_S = 5
_MAX_SUBJECT = 255
#: The first means no organisation; the last is the key of the totals of all organisations.
_RESERVED_ORGS = {UUID(int=0), UUID(int=2**128 - 1)}


class TokenRefusedError(Exception):
    """Why a token was rejected, for the log. It contains no values of the token, only names."""


class Authenticator:
    """Accepts tokens signed by one of `keys` for `audience`, and by `issuer` if one is given."""

    def __init__(self, keys: Keys, audience: str, issuer: str | None) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    def authenticate(self, authorization: str | None) -> Principal:
        """Return the caller named by the header `Authorization: Bearer ...`.

        Raises ApiError: PERMISSION_DENIED for a good token with an unknown role, else
        UNAUTHENTICATED, always with the same text. Its cause has the details.
        """
        if not authorization:
            raise unauthenticated(NO_TOKEN)
        try:
            claims = self._claims(_token(authorization))
            org_id, subject = _org(claims), _subject(claims)
        except Exception as exc:  # any error means that the token is invalid
            raise unauthenticated(BAD_TOKEN) from exc
        role = _role(claims)
        if role is Role.SERVICE:
            return Principal(role, None, subject)
        if org_id is None:
            raise unauthenticated(BAD_TOKEN) from TokenRefusedError("a tenant without org_id")
        return Principal(role, org_id, subject)

    def _claims(self, token: str) -> Mapping[str, Any]:
        found = self._keys.key_of(jwt.get_unverified_header(token).get("kid"))
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
