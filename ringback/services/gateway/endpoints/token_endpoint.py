"""`POST /oauth2/token`: a small OAuth2 server, for installations that have no other.

Its clients are those that endpoints declare with a `client_secret`. Only the grant
`client_credentials` exists (RFC 6749, section 4.4).
"""

import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from time import perf_counter
from urllib.parse import parse_qs, unquote_plus

import orjson
from aiohttp import hdrs, web

from ringback.runtime.http.bounded_server import send_continue
from ringback.services.gateway.endpoints.table import EndpointTable
from ringback.services.gateway.endpoints.tokens import TokenClient
from ringback.services.gateway.http import rejection
from ringback.services.gateway.http.body import BodyHeaders, read_body
from ringback.services.gateway.http.in_flight import InFlightLimiter
from ringback.services.gateway.http.rejection import Rejection
from ringback.services.gateway.http.server import Handle
from ringback.services.gateway.instruments import GatewayInstruments
from ringback.services.gateway.questions.answers import Answer
from ringback.services.gateway.webhook import AcceptedWebhook

TOKEN_PATH = "/oauth2/token"  # ruff: ignore[hardcoded-password-string]  # a path
_MAX_BYTES = 8 * 1024
_BODY_TIMEOUT_S = 10.0
_MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    table: EndpointTable
    limiter: InFlightLimiter
    instruments: GatewayInstruments
    now: Callable[[], float] = time.time

    def before(self, handle: Handle) -> Handle:
        """Handle requests for tokens, and pass on all others."""

        def routed(
            request: web.BaseRequest,
        ) -> Awaitable[AcceptedWebhook | Answer | Rejection]:
            return (self.handle if request.raw_path == TOKEN_PATH else handle)(request)

        return routed

    async def handle(self, request: web.BaseRequest) -> Answer | Rejection:
        """Issue a token to a client that proves itself by its secret."""
        started_at = perf_counter()
        result = await self._issue(request)
        if isinstance(result, Rejection):
            self.instruments.rejected(
                result,
                path=request.raw_path,
                headers=request.headers,
                duration_s=perf_counter() - started_at,
            )
        return result

    async def _issue(self, request: web.BaseRequest) -> Answer | Rejection:
        clients = self.table.token_clients
        if not clients:
            return rejection.NOT_FOUND
        if request.method != hdrs.METH_POST:
            return rejection.WRONG_METHOD
        await send_continue(request)
        with self.limiter.lease() as lease:
            body = await read_body(
                request.content,
                BodyHeaders(request.content_length, 0),
                lease=lease,
                max_bytes=_MAX_BYTES,
                timeout_s=_BODY_TIMEOUT_S,
            )
        if isinstance(body, Rejection):
            return body
        authorization = request.headers.get(hdrs.AUTHORIZATION, "")
        return issue(clients, authorization, body, self.now())


def issue(
    clients: Mapping[str, TokenClient], authorization: str, body: bytes, now_s: float
) -> Answer | Rejection:
    """Decide on one request: a token, or an error as RFC 6749 names it."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return rejection.token_refused("invalid_request", "The body is not a form.")
    if fields.get("grant_type", [""]) != ["client_credentials"]:
        return rejection.token_refused(
            "unsupported_grant_type", "grant_type must be client_credentials."
        )
    client_id, secret = _basic(authorization) or (
        fields.get("client_id", [""])[0],
        fields.get("client_secret", [""])[0],
    )
    client = clients.get(client_id)
    # An unknown client takes as long as a wrong secret.
    secrets = client.secrets if client is not None else (b"\0",)
    matches = [compare_digest(one, secret.encode(errors="replace")) for one in secrets]
    if client is None:
        # The id is not logged: someone may have entered the secret in its place.
        return rejection.client_refused("client_id is absent, or no endpoint declares it")
    if not any(matches):
        return rejection.client_refused(f"client_secret is not that of {client_id}")
    token, lifetime_s = client.token(secrets[matches.index(True)], now_s)
    document = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime_s}
    return Answer(200, orjson.dumps(document))


def _basic(authorization: str) -> tuple[str, str] | None:
    """Client id and secret of `Authorization: Basic`, which are form-encoded; None without it."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return unquote_plus(client_id), unquote_plus(secret)
