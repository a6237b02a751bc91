"""Access tokens (JWT) of an OAuth2 server, as proof of who sent a webhook."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jwt
from multidict import MultiMapping

from ringback.runtime.key_set import KeysById, VerificationKey
from ringback.services.gateway.endpoints.credentials import (
    AUTHORIZATION_HEADER,
    Failure,
    Reason,
    absent,
)

_MAX_TOKEN = 8192
_LEEWAY_S = 5
_WORDS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "has expired",
    jwt.ImmatureSignatureError: "is not valid yet",
    jwt.InvalidAudienceError: "is for another audience",
    jwt.InvalidIssuerError: "is from another issuer",
    jwt.MissingRequiredClaimError: "has no exp, aud or iss",
    jwt.InvalidSignatureError: "is not signed by the key that it names",
    jwt.InvalidAlgorithmError: "names another algorithm than its key",
}


class KeySet(Protocol):
    """Public keys by their id, some of which may not be known yet."""

    def key_of(self, key_id: object) -> VerificationKey | None: ...

    def may_lack_keys(self) -> bool:
        """Whether a key that is missing here may be valid nevertheless."""


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Keys that do not change, from a file or a secret."""

    keys: KeysById

    def key_of(self, key_id: object) -> VerificationKey | None:
        return self.keys.get(key_id) if isinstance(key_id, str) else None

    def may_lack_keys(self) -> bool:
        return False


_ISSUER = "ringback"
_LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class TokenClient:
    """A client of this gateway's own token endpoint.

    The key that signs its tokens is derived from its secret. So all gateways accept them, and a
    token is no longer valid when its secret is removed.
    """

    client_id: str
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def audience(self) -> str:
        return f"ringback:{self.client_id}"

    def verifier(self) -> "AccessToken":
        """The credential that accepts its tokens."""
        keys = [_token_key(secret) for secret in self.secrets]
        return AccessToken(
            keys=FixedKeys({_key_id(key): VerificationKey(key, "HS256") for key in keys}),
            audience=self.audience,
            issuer=_ISSUER,
            client_id=self.client_id,
            scope=None,
            client=self,
        )

    def token(self, secret: bytes, now_s: float) -> tuple[str, int]:
        """A token, and for how many seconds it is valid."""
        key, now = _token_key(secret), int(now_s)
        claims = {"iss": _ISSUER, "aud": self.audience, "sub": self.client_id}
        times = {"iat": now, "exp": now + _LIFETIME_S}
        headers = {"kid": _key_id(key)}
        return jwt.encode({**claims, **times}, key, "HS256", headers), _LIFETIME_S


def _token_key(secret: bytes) -> bytes:
    return hmac.digest(secret, b"ringback access token", "sha256")


def _key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A token in `Authorization: Bearer`, signed by one of the keys for this audience.

    `client_id` must be its claim `client_id`, `azp` or `sub`; `scope` must be one of its scopes.
    """

    keys: KeySet
    audience: str
    issuer: str | None
    client_id: str | None
    scope: str | None
    client: TokenClient | None = None

    def check_head(self, headers: MultiMapping[str], now_s: float) -> Failure | None:
        del now_s
        scheme, _, token = headers.get(AUTHORIZATION_HEADER, "").strip().partition(" ")
        if not scheme:
            return Failure(Reason.NO_TOKEN, absent(AUTHORIZATION_HEADER, headers))
        if scheme.lower() != "bearer":
            return Failure(Reason.WRONG_SCHEME, "Authorization has another scheme than Bearer")
        return self._check(token.strip())

    def _check(self, token: str) -> Failure | None:
        if len(token) > _MAX_TOKEN:
            return _wrong(f"has more than {_MAX_TOKEN:,} characters")
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.InvalidTokenError, ValueError):
            return _wrong("is no JWT")
        found = self.keys.key_of(key_id)
        if found is None:
            if self.keys.may_lack_keys():
                return Failure(Reason.KEYS_UNAVAILABLE, "the keys of jwks_url are not available")
            return _wrong("is signed by a key that the key set does not contain")
        try:
            claims = jwt.decode(
                token,
                found.key,
                # The algorithm of our key, not the one that the token names.
                algorithms=[found.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "aud"]},
            )
        except (jwt.InvalidTokenError, ValueError) as exc:
            return _wrong(_WORDS.get(type(exc), "is not valid"))
        return self._check_claims(claims)

    def _check_claims(self, claims: Mapping[str, Any]) -> Failure | None:
        names = ("client_id", "azp", "sub")
        if self.client_id is not None and self.client_id not in [claims.get(one) for one in names]:
            return _wrong("is of another client")
        scopes = claims.get("scope", claims.get("scp", ""))
        given = scopes.split() if isinstance(scopes, str) else scopes
        if self.scope is not None and self.scope not in (given if isinstance(given, list) else []):
            return _wrong("does not have the scope")
        return None


def _wrong(words: str) -> Failure:
    return Failure(Reason.WRONG_TOKEN, f"the token in Authorization {words}")
