import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ringback.cli.app import run
from ringback.local.jwt_secret import local_secret

ORG = "00000000-0000-0000-0000-000000000001"
SECRET = "a configured secret of enough bytes"
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a local stack, and no key in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("SECRET", "PRIVATE_KEY_FILE", "AUDIENCE", "ISSUER"):
        monkeypatch.delenv(f"RINGBACK_JWT_{name}", raising=False)


def test_the_token_stands_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """With the key of the stack that `ringback up` started here; explanations are on stderr."""
    Path(".ringback").mkdir()
    secret = local_secret(Path(".ringback"))

    status = run(["token", "--role", "tenant", "--org", ORG, "--ttl", "15m"])

    told = capsys.readouterr()
    claims = claims_of(told.out.removesuffix("\n"), secret, "HS256")
    assert status == 0
    assert (claims["role"], claims["org_id"]) == ("tenant", ORG)
    assert claims["exp"] - time.time() == pytest.approx(900, abs=30)
    assert "@" in claims["sub"]
    assert "signed with .ringback/jwt.secret" in told.err
    assert secret not in told.err


def test_a_configured_secret_comes_before_the_local_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the requested issuer and subject; the service role has no organisation."""
    Path(".ringback").mkdir()
    local_secret(Path(".ringback"))
    monkeypatch.setenv("RINGBACK_JWT_SECRET", SECRET)
    monkeypatch.setenv("RINGBACK_JWT_ISSUER", "us")

    status = run(["token", "--role", "service", "--subject", "grafana"])

    claims = claims_of(capsys.readouterr().out.strip(), SECRET, "HS256")
    assert status == 0
    assert (claims["sub"], claims["iss"], claims["role"]) == ("grafana", "us", "service")
    assert "org_id" not in claims


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_private_key_signs_by_its_kind(
    algorithm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The public half verifies it; `--kid` names the key of a set."""
    key = KEYS[algorithm]
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    Path("key.pem").write_bytes(pem)
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    status = run(["token", "--role", "service", "--kid", "2026"])

    token = capsys.readouterr().out.strip()
    assert status == 0
    assert claims_of(token, key.public_key(), algorithm)["role"] == "service"
    assert jwt.get_unverified_header(token)["kid"] == "2026"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (None, "cannot be read"),
        ("no key at all", "does not contain a private key"),
    ],
)
def test_a_bad_key_is_one_sentence(
    key: str | None,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing that looks like a token."""
    if key is not None:
        Path("key.pem").write_text(key, encoding="utf-8")
    monkeypatch.setenv("RINGBACK_JWT_PRIVATE_KEY_FILE", "key.pem")

    status = run(["token", "--role", "service"])

    told = capsys.readouterr()
    assert status == 2
    assert sentence in told.err
    assert not told.out


def claims_of(token: str, key: Any, algorithm: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=[algorithm], audience="ringback")
    return claims
