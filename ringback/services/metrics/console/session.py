"""Sessions of the console: who signed in, in a signed cookie.

The key is derived from the console's secret, so that a cookie can never be a token of the API, even
if the same secret verifies both. Nothing is kept on the server.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ringback.services.metrics.auth.authenticator import principal_of
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.transport.errors import ApiError

SESSION_S = 8 * 3600
_ALGORITHM = "HS256"
_KEY_BYTES = 32
_MAX_TOKEN = 4096
_AUDIENCE = "ringback-console"


@dataclass(frozen=True, slots=True)
class Session:
    """Without `expires_at`, a proxy decides how long it lasts."""

    principal: Principal
    expires_at: datetime | None


class SignedValues:
    """Signs values that a browser keeps for us, each for one purpose and for a time."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=b"ringback console")
        self._key = derived.derive(secret.encode())
        self._clock = clock

    def sign(self, purpose: str, values: Mapping[str, Any], valid_s: int) -> str:
        now = int(self._clock())
        claims = {**values, "aud": purpose, "iat": now, "exp": now + valid_s}
        return jwt.encode(claims, self._key, _ALGORITHM)

    def read(self, purpose: str, signed: str) -> Mapping[str, Any] | None:
        """The values with `exp`; None if they are not ours, for another purpose, or too old."""
        try:
            claims: Mapping[str, Any] = jwt.decode(
                signed[:_MAX_TOKEN],
                self._key,
                algorithms=[_ALGORITHM],
                audience=purpose,
                # The clock below decides, and a test can move it.
                options={"require": ["exp", "aud"], "verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, UnicodeEncodeError):
            return None
        return claims if claims["exp"] > self._clock() else None


@dataclass(frozen=True, slots=True)
class Cookies:
    """Cookies that only this server reads. `path` is the console's, used without https.

    With https, the prefix makes the browser refuse such a cookie from another host or without TLS;
    it requires the path `/`. SameSite is Lax: with Strict, a link in a chat would look signed out.
    """

    is_https: bool
    path: str

    def set(self, response: web.StreamResponse, name: str, value: str, valid_s: int) -> None:
        response.set_cookie(self._name(name), value, max_age=valid_s, **self._attributes())

    def clear(self, response: web.StreamResponse, name: str) -> None:
        response.set_cookie(self._name(name), "", max_age=0, **self._attributes())

    def read(self, request: web.BaseRequest, name: str) -> str:
        """Empty if there is none."""
        return request.cookies.get(self._name(name), "")

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.is_https else name

    def _attributes(self) -> dict[str, Any]:
        return {
            "path": "/" if self.is_https else self.path,
            "secure": self.is_https,
            "httponly": True,
            "samesite": "Lax",
        }


class Sessions:
    """The session cookie."""

    _COOKIE = "ringback"

    def __init__(self, signed: SignedValues, cookies: Cookies) -> None:
        self._signed = signed
        self._cookies = cookies

    def begin(self, response: web.StreamResponse, principal: Principal) -> None:
        claims = {
            "sub": principal.subject,
            "role": principal.role.value,
            **({"org_id": str(principal.org_id)} if principal.org_id else {}),
        }
        token = self._signed.sign(_AUDIENCE, claims, SESSION_S)
        self._cookies.set(response, self._COOKIE, token, SESSION_S)

    def end(self, response: web.StreamResponse) -> None:
        self._cookies.clear(response, self._COOKIE)

    def current(self, request: web.BaseRequest) -> Session | None:
        """The session of the browser, if it has one that is still valid."""
        claims = self._signed.read(_AUDIENCE, self._cookies.read(request, self._COOKIE))
        if claims is None:
            return None
        try:
            return Session(principal_of(claims), datetime.fromtimestamp(claims["exp"], UTC))
        except ApiError:
            return None
