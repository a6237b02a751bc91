"""Who sends a request, as the bearer token in its Authorization header says."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import jwt

from services.metrics.api.errors import permission_denied, unauthenticated
from services.metrics.api.keys import Keys
from services.metrics.api.principal import Principal, Role

NO_TOKEN = "A bearer token is needed."  # ruff: ignore[hardcoded-password-string]  # a sentence
BAD_TOKEN = "The token is not accepted."  # ruff: ignore[hardcoded-password-string]  # a sentence
BAD_ROLE = "The token's role is none that may call."

LONGEST_TOKEN = 8192
_LEEWAY_S = 5
_LONGEST_SUBJECT = 255
#: The first means nobody; under the last one statistics keep the total of all organisations.
_RESERVED_ORGS = {UUID(int=0), UUID(int=2**128 - 1)}


class TokenRefusedError(Exception):
    """Why, for the log. It holds nothing of the token but names."""


class Authenticator:
    """Takes tokens that one of `keys` signed for `audience`, and by `issuer` if it is given."""

    def __init__(self, keys: Keys, audience: str, issuer: str | None) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    def authenticate(self, authorization: str | None) -> Principal:
        """The caller, by the header `Authorization: Bearer ...`.

        Raises ApiError: PERMISSION_DENIED for a good token with a role we do not know, else
        UNAUTHENTICATED, always with the same sentence. Its cause says what is wrong.
        """
        if not authorization:
            raise unauthenticated(NO_TOKEN)
        try:
            claims = self._claims(_token(authorization))
            org_id, subject = _org(claims), _subject(claims)
        except Exception as exc:  # whatever a stranger's token sets off, it is refused
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
            # Ours, not the one that the token names.
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
    if len(token) > LONGEST_TOKEN:
        raise TokenRefusedError("too long")
    return token.strip()


def _org(claims: Mapping[str, Any]) -> UUID | None:
    """None if there is none. Raises TokenRefusedError for what is no organisation."""
    text = claims.get("org_id")
    if text is None:
        return None
    if not isinstance(text, str):
        raise TokenRefusedError("org_id is no text")
    try:
        org_id = UUID(text)
    except ValueError:
        raise TokenRefusedError("org_id is no UUID") from None
    if org_id in _RESERVED_ORGS:
        raise TokenRefusedError("org_id is reserved")
    return org_id


def _subject(claims: Mapping[str, Any]) -> str:
    """Who it is stands in the audit for good: a line of text, not blank."""
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip():
        raise TokenRefusedError("sub is empty")
    if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
        raise TokenRefusedError("sub is not a short line of text")
    return subject


def _role(claims: Mapping[str, Any]) -> Role:
    try:
        return Role(str(claims.get("role")))
    except ValueError:
        raise permission_denied(BAD_ROLE) from TokenRefusedError("role is unknown")
