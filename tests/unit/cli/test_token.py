"""Tokens that `ringback token` creates."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ringback.local.jwt_secret import local_secret
from tests.unit.cli.command import Ringback

pytestmark = pytest.mark.usefixtures("no_settings")

ORG = "00000000-0000-0000-0000-000000000001"
SECRET = "a configured secret of enough bytes"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def claims_of(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], audience="ringback")
    return claims


def test_a_token_is_the_only_line_on_stdout(
    monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    """It is signed with the configured secret, else with the key of the local stack."""
    Path(".ringback").mkdir()
    local = local_secret(Path(".ringback"))

    by_stack = ringback("token", "--role", "tenant", "--org", ORG, "--ttl", "15m")
    monkeypatch.setenv("RINGBACK_JWT_SECRET", SECRET)
    monkeypatch.setenv("RINGBACK_JWT_ISSUER", "us")
    by_secret = ringback("token", "--role", "service", "--subject", "grafana")

    claims = claims_of(by_stack.out.removesuffix("\n"), local, "HS256")
    assert (claims["role"], claims["org_id"]) == ("tenant", ORG)
    assert claims["exp"] - time.time() == pytest.approx(900, abs=60)
    assert "@" in claims["sub"]
    assert "signed with .ringback/jwt.secret" in by_stack.err
    assert local not in by_stack.err
    configured = claims_of(by_secret.out.strip(), SECRET, "HS256")
    assert (configured["sub"], configured["iss"]) == ("grafana", "us")
    assert "org_id" not in configured


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_decides_the_algorithm(
    algorithm: str, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    key = KEYS[algorithm]
    Path("key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    ended = ringback("token", "--role", "service", "--kid", "2026")

    token = ended.out.strip()
    assert ended.status == 0
    assert claims_of(token, key.public_key(), algorithm)["role"] == "service"
    assert jwt.get_unverified_header(token)["kid"] == "2026"


@pytest.mark.parametrize(
    ("key", "sentence"), [(None, "cannot be read"), ("no key", "does not contain a private key")]
)
def test_a_bad_key_is_one_sentence(
    key: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch, ringback: Ringback
) -> None:
    if key is not None:
        Path("key.pem").write_text(key, encoding="utf-8")
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    ended = ringback("token", "--role", "service")

    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err
