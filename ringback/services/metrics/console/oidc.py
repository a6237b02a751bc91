"""Signs people in by an OpenID Connect provider: the authorization code flow with PKCE.

    begin ▸ browser at the provider ▸ callback with code and state ▸ token endpoint ▸ id token

The provider's addresses come from its discovery document. The id token is verified with the
provider's keys, although it arrives over TLS: issuer, audience, expiry, and this browser's nonce.
"""

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import jwt
import orjson
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

from ringback.runtime.outgoing.breaker import BreakerRules, CircuitBreaker, Destination
from ringback.runtime.outgoing.client import OutgoingClient, OutgoingError, Request
from ringback.runtime.outgoing.remote_keys import RemoteKeySet
from ringback.runtime.process.settings import http_url, url_parts
from ringback.services.metrics.auth.authenticator import MAX_TOKEN, principal_of
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.transport.errors import ApiError

_TIMEOUT_S = 5.0
_MAX_BYTES = 256 * 1024
_METADATA_S = 3600.0
_LEEWAY_S = 5
_VERIFIER_LENGTH = 64
_OK = 200
_CONCURRENCY = 20
_BREAKER = BreakerRules(open_s=1.0, max_open_s=5.0)
_JSON = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "ringback"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}

AWAY = "The sign-in provider cannot be reached. Try again in a moment, or sign in with a code."
FAILED = "The sign-in at the provider failed. Start again, or sign in with a code."
NO_ROLE = "Your account has no role in Ringback. Ask an administrator of the provider for one."


class SignInError(Exception):
    """`message` is for the person. `reason` is for the log, and has no secret."""

    def __init__(self, message: str, reason: str, *, is_away: bool = False) -> None:
        super().__init__(reason)
        self.message = message
        self.reason = reason
        self.is_away = is_away


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that has begun: what the browser keeps until it returns from the provider."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next_path: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """Of the discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    is_secret_in_body: bool


class OidcProvider:
    """`client` must be running. `redirect_uri` is the callback's public address."""

    def __init__(
        self, settings: ConsoleSettings, client: OutgoingClient, redirect_uri: str
    ) -> None:
        self._settings = settings
        self._client = client
        self._redirect_uri = redirect_uri
        self._issuer = settings.console_oidc_issuer or ""
        self._client_id = settings.console_oidc_client_id or ""
        self._destination = Destination(_CONCURRENCY, CircuitBreaker(_BREAKER))
        self._metadata: Metadata | None = None
        self._read_at_s = 0.0
        self._keys: RemoteKeySet | None = None

    async def begin(self, next_path: str) -> tuple[str, Pending]:
        """The provider's page to send the browser to. Raises SignInError."""
        metadata = await self._current_metadata()
        oauth = WebApplicationClient(self._client_id)
        pending = Pending(
            state=secrets.token_urlsafe(),
            nonce=secrets.token_urlsafe(),
            verifier=oauth.create_code_verifier(_VERIFIER_LENGTH),
            next_path=next_path,
        )
        url: str = oauth.prepare_request_uri(
            metadata.authorization_endpoint,
            redirect_uri=self._redirect_uri,
            scope=self._settings.console_oidc_scope,
            state=pending.state,
            code_challenge=oauth.create_code_challenge(pending.verifier, "S256"),
            code_challenge_method="S256",
            nonce=pending.nonce,
        )
        return url, pending

    async def finish(self, query: str, pending: Pending) -> Principal:
        """Who signed in. `query` is that of the callback, as it came. Raises SignInError."""
        oauth = WebApplicationClient(self._client_id)
        try:
            # Whether TLS ends here or at a proxy is not decided by this address.
            answer = oauth.parse_request_uri_response(
                f"https://callback.invalid/?{query}", state=pending.state
            )
        except OAuth2Error as exc:
            raise SignInError(FAILED, f"the provider's answer: {_name(exc)}") from exc
        metadata = await self._current_metadata()
        body = oauth.prepare_request_body(
            code=answer["code"],
            redirect_uri=self._redirect_uri,
            code_verifier=pending.verifier,
            include_client_id=True,
            **self._secret_in_body(metadata),
        )
        headers = {**_JSON, **_FORM, **self._secret_in_header(metadata)}
        status, content = await self._send(metadata.token_endpoint, headers, body.encode())
        try:
            tokens = oauth.parse_request_body_response(content.decode(errors="replace"))
        except (OAuth2Error, ValueError, TypeError) as exc:
            raise SignInError(FAILED, f"the token endpoint: {status}, {_name(exc)}") from exc
        return self._principal(await self._claims(tokens.get("id_token"), metadata, pending))

    def _secret_in_body(self, metadata: Metadata) -> dict[str, str]:
        secret = self._settings.console_oidc_client_secret
        if secret is None or not metadata.is_secret_in_body:
            return {}
        return {"client_secret": secret.get_secret_value()}

    def _secret_in_header(self, metadata: Metadata) -> dict[str, str]:
        secret = self._settings.console_oidc_client_secret
        if secret is None or metadata.is_secret_in_body:
            return {}
        # RFC 6749, 2.3.1: both are form-encoded before.
        pair = f"{quote_plus(self._client_id)}:{quote_plus(secret.get_secret_value())}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _claims(
        self, id_token: object, metadata: Metadata, pending: Pending
    ) -> Mapping[str, Any]:
        if not isinstance(id_token, str) or len(id_token) > 4 * MAX_TOKEN:
            raise SignInError(FAILED, "the token endpoint returned no id token")
        keys = self._keys_at(metadata.jwks_uri)
        try:
            key_id = jwt.get_unverified_header(id_token).get("kid")
            if keys.should_refresh() or (keys.key_of(key_id) is None and keys.may_lack_keys()):
                await keys.refresh(self._client)
            found = keys.key_of(key_id)
            if found is None:
                is_away = keys.may_lack_keys()
                raise SignInError(
                    AWAY if is_away else FAILED, "the id token's key is unknown", is_away=is_away
                )
            claims: Mapping[str, Any] = jwt.decode(
                id_token,
                found.key,
                algorithms=[found.algorithm],
                audience=self._client_id,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["iss", "aud", "exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as exc:
            raise SignInError(FAILED, f"the id token: {type(exc).__name__}") from exc
        if claims.get("nonce") != pending.nonce:
            raise SignInError(FAILED, "the id token has another nonce")
        if claims.get("azp", self._client_id) != self._client_id:
            raise SignInError(FAILED, "the id token was issued to another client")
        return claims

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        given = claim_in(claims, settings.console_oidc_role_claim)
        values = given if isinstance(given, list) else [given]
        role = (
            Role.SERVICE
            if settings.console_oidc_service_role in values
            else Role.TENANT
            if settings.console_oidc_tenant_role in values
            else None
        )
        if role is None:
            raise SignInError(NO_ROLE, "the id token names no role")
        named = {
            "sub": claim_in(claims, settings.console_oidc_subject_claim),
            "role": role.value,
            "org_id": claim_in(claims, settings.console_oidc_org_claim),
        }
        if role is Role.SERVICE:
            del named["org_id"]
        try:
            return principal_of(named)
        except ApiError as exc:
            raise SignInError(NO_ROLE, f"the id token's claims: {exc.__cause__}") from exc

    def _keys_at(self, url: str) -> RemoteKeySet:
        if self._keys is None or self._keys.url != url:
            self._keys = RemoteKeySet(url)
        return self._keys

    async def _current_metadata(self) -> Metadata:
        now_s = time.monotonic()
        if self._metadata is None or now_s - self._read_at_s > _METADATA_S:
            url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            status, content = await self._send(url, _JSON, None)
            if status != _OK:
                raise SignInError(AWAY, f"{url} answered {status}", is_away=True)
            try:
                self._metadata = metadata_in(content, self._issuer)
            except ValueError as exc:
                raise SignInError(FAILED, f"the discovery document {exc}") from exc
            self._read_at_s = now_s
        return self._metadata

    async def _send(
        self, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        request = Request(
            url=url, headers=headers, body=body, timeout_s=_TIMEOUT_S, max_answer_bytes=_MAX_BYTES
        )
        try:
            response = await self._client.send(self._destination, request)
        except OutgoingError as exc:
            raise SignInError(AWAY, f"no answer: {exc.failure.value}", is_away=True) from exc
        return response.status, response.body


def metadata_in(document: bytes, issuer: str) -> Metadata:
    """Raises ValueError, whose text follows "the discovery document"."""
    try:
        values = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON") from None
    if not isinstance(values, dict) or values.get("issuer") != issuer:
        raise ValueError("names another issuer than RINGBACK_CONSOLE_OIDC_ISSUER")
    endpoints = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        url = values.get(name)
        try:
            url_parts(http_url(str(url)), ("https",))
        except ValueError:
            raise ValueError(f"has no https URL as its {name}") from None
        endpoints[name] = str(url)
    methods = values.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Metadata(**endpoints, is_secret_in_body="client_secret_basic" not in methods)


def claim_in(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name; of `a.b`, if there is none, the claim b in the claim a. Else None."""
    if name in claims:
        return claims[name]
    outer, dot, inner = name.partition(".")
    nested = claims.get(outer) if dot else None
    return claim_in(nested, inner) if isinstance(nested, dict) else None


def _name(error: Exception) -> str:
    """The error's code of OAuth, which another server may have made up; else its class."""
    code = getattr(error, "error", None)
    return repr(code[:40]) if isinstance(code, str) else type(error).__name__
