"""An OpenID Connect provider on this machine, as strict as the specifications ask."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from tests.support.certificate import server_tls

CLIENT_ID, CLIENT_SECRET = "ringback", "of & the client"
_KEY = generate_private_key(65537, 2048)
_OTHER_KEY = generate_private_key(65537, 2048)


@dataclass
class OidcServer:
    """`claims` replace those of the next id token. `signed_by_other` signs by an unknown key."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    signed_by_other: bool = False
    is_public_client: bool = False
    document: dict[str, Any] = field(default_factory=dict)
    token_requests: int = 0
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def approve(self, url: str) -> str:
        """What a person does at the page of this URL; returns the query of the callback."""
        asked = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        return f"code={code}&state={asked['state']}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                return web.json_response(self._discovery() | self.document)
            case "GET", "/keys":
                jwk = RSAAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
                return web.json_response({"keys": [{**jwk, "kid": "a", "alg": "RS256"}]})
            case "POST", "/token":
                return self._token(request, dict((await request.post()).items()))
        raise web.HTTPNotFound

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def _token(self, request: web.BaseRequest, form: dict[str, Any]) -> web.Response:
        self.token_requests += 1
        asked = self._codes.pop(form["code"], None)
        if not self.is_public_client and not self._knows_client(request):
            return web.json_response({"error": "invalid_client"}, status=401)
        verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "7d1c",
            "iat": now,
            "exp": now + 60,
            "nonce": asked["nonce"],
            **self.claims,
        }
        key = _OTHER_KEY if self.signed_by_other else _KEY
        token = jwt.encode(claims, key, "RS256", headers={"kid": "a"})
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": token})

    def _knows_client(self, request: web.BaseRequest) -> bool:
        pair = base64.b64encode(f"{CLIENT_ID}:of+%26+the+client".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {pair}"


@asynccontextmanager
async def oidc_server(folder: Path) -> AsyncGenerator[OidcServer]:
    """Serve by TLS; `client_tls(folder)` trusts it."""
    served = OidcServer()
    runner = web.ServerRunner(web.Server(served.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls(folder)).start()
    served.issuer = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()
