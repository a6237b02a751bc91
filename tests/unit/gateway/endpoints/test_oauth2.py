"""Access tokens of an OAuth2 server, by a file or a URL of its keys."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.gateway_client import DEFAULT_ORG, PATH, Answer
from tests.support.key_server import KEY, OTHER_KEY, KeyServer, key_server, key_set
from tests.support.openssl import OpensslKey, openssl_jwt, rsa_key_set
from tests.unit.gateway.endpoints.signing import endpoint_with, reason, result
from tests.unit.gateway.serving import ServedGateway, serving

ISSUER = "https://login.example.com/"
HANG = b'{"type": "hang"}'


def token(key: Any = KEY, kid: str = "a", algorithm: str = "ES256", **claims: Any) -> str:
    now = int(time.time())
    usual = {
        "aud": "ringback",
        "iss": ISSUER,
        "exp": now + 86_400,
        "azp": "vapi",
        "scope": "a send",
    }
    given = {name: value for name, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"kid": kid})


@pytest.mark.parametrize(
    ("authorization", "expected", "check"),
    [
        (f"Bearer {token()}", None, ""),
        (f"bearer  {token(azp=None, sub='vapi')}", None, ""),
        (f"Bearer {token(aud=['other', 'ringback'], scope=None, scp=['send'])}", None, ""),
        ("", "no_token", "Authorization is empty"),
        ("Basic dXNlcg==", "wrong_scheme", "another scheme"),
        ("Bearer x", "wrong_token", "is no JWT"),
        (f"Bearer {'x' * 9000}", "wrong_token", "more than 8,192"),
        (f"Bearer {token(exp=1)}", "wrong_token", "has expired"),
        (f"Bearer {token(exp=None)}", "wrong_token", "has no exp"),
        (f"Bearer {token(nbf=2**33)}", "wrong_token", "not valid yet"),
        (f"Bearer {token(aud='other')}", "wrong_token", "another audience"),
        (f"Bearer {token(iss='https://evil.example/')}", "wrong_token", "another issuer"),
        (f"Bearer {token(azp='other')}", "wrong_token", "another client"),
        (f"Bearer {token(scope='sender')}", "wrong_token", "the scope"),
        (f"Bearer {token(scope=7)}", "wrong_token", "the scope"),
        (f"Bearer {token(kid='b')}", "wrong_token", "does not contain"),
        (f"Bearer {token(OTHER_KEY)}", "wrong_token", "not signed by the key"),
        # The key must not verify as the secret of an HMAC, and a token without one proves nothing.
        (f"Bearer {token('x' * 32, algorithm='HS256')}", "wrong_token", "another algorithm"),
        (f"Bearer {token(None, algorithm='none')}", "wrong_token", "another algorithm"),
    ],
)
def test_a_token_must_be_that_of_the_client(
    tmp_path: Path, authorization: str, expected: str | None, check: str
) -> None:
    """Signed by a key of the set, for this audience, and not expired."""
    (tmp_path / "keys.json").write_text(key_set(a=KEY))
    declared = f"audience: ringback, issuer: '{ISSUER}', client_id: vapi, scope: send"
    endpoint = endpoint_with(f"{{kind: oauth2, jwks_file: {tmp_path / 'keys.json'}, {declared}}}")

    found = result(endpoint, {"Authorization": authorization})

    assert getattr(found, "reason", None) == expected
    assert check in str(getattr(found, "checks", ""))


def test_a_token_of_openssl_is_accepted(tmp_path: Path) -> None:
    """The key set and the token are made without the library that verifies them."""
    key, other = (OpensslKey(tmp_path, "-algorithm", "RSA") for _ in range(2))
    (tmp_path / "keys.json").write_text(rsa_key_set(key, "a"))
    endpoint = endpoint_with(
        f"{{kind: oauth2, jwks_file: {tmp_path / 'keys.json'}, audience: ringback}}"
    )
    claims = {"aud": "ringback", "exp": int(time.time()) + 86_400}
    found = [
        reason(endpoint, {"Authorization": f"Bearer {openssl_jwt(*signer, claims)}"})
        for signer in ((key, "a"), (other, "a"), (key, "b"))
    ]

    assert found == [None, "wrong_token", "wrong_token"]


@asynccontextmanager
async def gateway_for(server: KeyServer) -> AsyncGenerator[ServedGateway]:
    credential = {"kind": "oauth2", "jwks_url": server.url, "audience": "ringback"}
    acme = {"org_id": DEFAULT_ORG, "credentials": [credential]}
    endpoints = json.dumps({"acme": acme})
    networks = "127.0.0.0/8"
    async with serving(endpoints=endpoints, vapi_secret="", outgoing_networks=networks) as gateway:
        yield gateway


async def send(gateway: ServedGateway, value: str) -> Answer:
    headers = {"Authorization": f"Bearer {value}"}
    return await gateway.send(HANG, path=f"{PATH}/acme", secret=None, headers=headers)


async def test_the_keys_are_fetched_and_kept() -> None:
    """Many tokens, also with unknown keys, cause a fetch in 30 s at most."""
    async with key_server() as server, gateway_for(server) as gateway:
        answers = await asyncio.gather(*(send(gateway, token()) for _ in range(20)))
        unknown = [await send(gateway, token(kid=f"k{n}")) for n in range(5)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.status for answer in unknown} == {401}
    assert 1 <= server.asked < 5


@pytest.mark.parametrize(
    ("status", "document"), [(500, ""), (302, ""), (200, "no keys"), (200, '{"keys": []}')]
)
async def test_without_keys_no_sender_is_accepted(status: int, document: str) -> None:
    """It gets 503, because it may be one that should be accepted."""
    async with key_server() as server:
        server.status, server.document = status, document
        async with gateway_for(server) as gateway:
            answer = await send(gateway, token())
            counted = gateway.metric(
                "webhook_rejected_total", endpoint="acme", reason="keys_unavailable"
            )

    assert (answer.status, counted) == (503, 1)
    assert "Retry-After" in answer.headers
