"""Tests for the keys that tokens are checked with, and for the settings that name them."""

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ringback.runtime.outgoing.client import OutgoingClient
from ringback.runtime.outgoing.remote_keys import RemoteKeySet
from ringback.runtime.process.settings import SettingsError, load
from ringback.services.metrics.auth.authenticator import Authenticator
from ringback.services.metrics.auth.keys import Keys, KeySetFile, public_key_file
from ringback.services.metrics.settings import TokenSettings
from ringback.services.metrics.transport.errors import ApiError
from tests.support.key_server import KEY, OTHER_KEY, key_server, key_set
from tests.support.tokens import JWT_SECRET

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

LOOPBACK = (ip_network("127.0.0.0/8"),)
RSA = rsa.generate_private_key(65537, 2048)
CLAIMS = {"role": "service", "sub": "x", "aud": "ringback", "exp": 9_999_999_999}


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    kinds = jwt.get_algorithm_by_name(algorithm)
    return {**kinds.to_jwk(key.public_key(), as_dict=True), **more}


def is_taken(keys: Keys, key: Any, algorithm: str, kid: str | None = None) -> bool:
    sent = jwt.encode(CLAIMS, key, algorithm, headers={"kid": kid} if kid else None)
    try:
        Authenticator(keys, "ringback", None).check(f"Bearer {sent}")
    except ApiError:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_public_key_has_the_algorithm_of_its_kind(
    tmp_path: Path, key: PrivateKey, algorithm: str
) -> None:
    """A token that its owner signed with it is accepted."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem(key))

    keys = load(TokenSettings, {"RINGBACK_JWT_PUBLIC_KEY_FILE": str(path)}).token_keys()

    assert is_taken(keys, key, algorithm)


def test_a_public_key_has_no_other_algorithm(tmp_path: Path) -> None:
    """Not even one that its owner signed with it."""
    path = tmp_path / "key.pem"
    path.write_bytes(pem(RSA))
    keys = public_key_file(path)

    assert not is_taken(keys, RSA, "PS256")
    assert not is_taken(keys, RSA, "RS512")
    assert not is_taken(keys, rsa.generate_private_key(65537, 2048), "RS256")


def test_a_key_set_chooses_the_key_by_its_id(tmp_path: Path) -> None:
    """Each token is verified by the key that its `kid` names, with that key's own algorithm."""
    curve = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "jwks.json"
    keys = [
        jwk(RSA, "RS256", kid="a"),
        jwk(RSA, "RS512", kid="b", alg="PS512", use="sig"),
        jwk(curve, "ES256", kid="c"),
        jwk(edwards, "EdDSA", kid="d"),
        jwk(RSA, "RS256", kid="e", use="enc"),
        {"kty": "of tomorrow", "kid": "f"},
    ]
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")

    found = load(TokenSettings, {"RINGBACK_JWT_JWKS_FILE": str(path)}).token_keys()

    assert is_taken(found, RSA, "RS256", "a")
    assert is_taken(found, RSA, "PS512", "b")
    assert is_taken(found, curve, "ES256", "c")
    assert is_taken(found, edwards, "EdDSA", "d")
    assert not is_taken(found, RSA, "RS512", "a")
    assert not is_taken(found, RSA, "RS256", "b")
    assert not is_taken(found, RSA, "RS256", "c")
    assert not is_taken(found, RSA, "RS256", "e")
    assert not is_taken(found, RSA, "RS256", "unknown")
    assert not is_taken(found, RSA, "RS256")


def rsa_set(**more: Any) -> bytes:
    return json.dumps({"keys": [jwk(RSA, "RS256", **more)]}).encode()


async def test_keys_at_a_url_are_fetched_when_a_token_needs_them() -> None:
    """Without them no caller is accepted, and it learns that it may try again."""
    settings = load(TokenSettings, {"RINGBACK_JWT_JWKS_URL": "https://issuer.example/keys"})
    assert isinstance(settings.token_keys(), RemoteKeySet)
    now_s = 0.0

    async with key_server() as server, OutgoingClient(LOOPBACK).running() as client:
        keys = RemoteKeySet(server.url, lambda: now_s)
        checks = Authenticator(keys, "ringback", None, lambda: keys.refresh(client))

        async def code_for(key: Any, kid: str) -> grpc.StatusCode | None:
            sent = jwt.encode(CLAIMS, key, "ES256", headers={"kid": kid})
            try:
                await checks.authenticate(f"Bearer {sent}")
            except ApiError as exc:
                return exc.code
            return None

        server.status = 500
        assert await code_for(KEY, "a") is grpc.StatusCode.UNAVAILABLE
        server.status, now_s = 200, 5.0
        assert await code_for(KEY, "a") is None
        assert await code_for(OTHER_KEY, "a") is grpc.StatusCode.UNAUTHENTICATED

        # An unknown key causes one fetch in 30 s; a token that is invalid anyway causes none.
        server.document = key_set(a=KEY, b=OTHER_KEY)
        assert await code_for(OTHER_KEY, "b") is grpc.StatusCode.UNAUTHENTICATED
        now_s = 35.0
        assert await code_for(OTHER_KEY, "a") is grpc.StatusCode.UNAUTHENTICATED
        assert server.asked == 2
        assert await code_for(OTHER_KEY, "b") is None
        assert server.asked == 3


PEM_FILE, JWKS_FILE = "RINGBACK_JWT_PUBLIC_KEY_FILE", "RINGBACK_JWT_JWKS_FILE"
JWKS_URL = "RINGBACK_JWT_JWKS_URL"


@pytest.mark.parametrize(
    ("variable", "content", "words"),
    [
        *((variable, None, "cannot be read: No such file") for variable in (PEM_FILE, JWKS_FILE)),
        (PEM_FILE, b"", "contains no public key in PEM"),
        (PEM_FILE, b"-----BEGIN PUBLIC KEY-----\nsesame\n-----END PUBLIC KEY-----\n", "no public"),
        (PEM_FILE, private_pem(RSA), "contains a private key"),
        (PEM_FILE, pem(ec.generate_private_key(ec.SECP256K1())), "contains an unsupported key"),
        (PEM_FILE, pem(rsa.generate_private_key(65537, 1024)), "2048 bits or more"),  # ruff: ignore[weak-cryptographic-key]
        (JWKS_FILE, b"sesame", "is not JSON"),
        (JWKS_FILE, b"[]", "is not a key set"),
        (JWKS_FILE, b'{"keys": [7]}', "is not a key set"),
        (JWKS_FILE, b'{"keys": []}', "contains no key that can verify a token"),
        (JWKS_FILE, rsa_set(), "each key needs its own `kid`"),
        (
            JWKS_FILE,
            json.dumps({"keys": [jwk(RSA, "RS256", kid="a")] * 2}).encode(),
            "each key needs its own `kid`",
        ),
        (
            JWKS_FILE,
            b'{"keys": [{"kty": "oct", "k": "c2VzYW1l", "kid": "a"}]}',
            "use only public keys",
        ),
        (JWKS_FILE, rsa_set(kid="a", d="sesame"), "use only public keys"),
        (JWKS_FILE, rsa_set(kid="a", alg="HS256"), "contains no key"),
        (JWKS_FILE, rsa_set(kid="a", alg="none"), "contains no key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_file_is_rejected(
    tmp_path: Path, variable: str, content: bytes | None, words: str
) -> None:
    """At the start, in a sentence that names the variable and the file, and no secret."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, {variable: str(path)})

    assert str(caught.value).startswith(f"{variable}: {path}")
    assert words in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_key_set_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A new key is used within a second; a broken file changes nothing."""
    now_s = 100.0
    path = tmp_path / "jwks.json"
    path.write_bytes(rsa_set(kid="old"))
    found = KeySetFile(path, clock=lambda: now_s)

    replace(path, rsa_set(kid="new"))
    before = (found.key_of("old"), found.key_of("new"))
    now_s += 1
    after = (found.key_of("old"), found.key_of("new"))
    replace(path, b"half a fi")
    now_s += 1
    broken = found.key_of("new")
    path.unlink()
    now_s += 1
    gone = found.key_of("new")

    assert before[0] is not None
    assert before[1] is None
    assert after[0] is None
    assert after[1] is not None
    assert broken == gone == after[1]


def replace(path: Path, content: bytes) -> None:
    """Replace the file as a mounted secret is replaced."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    Path(beside).replace(path)


@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        (None, f"is required, to check callers' tokens (or {PEM_FILE}, {JWKS_FILE} or {JWKS_URL})"),
        ("sesame", "must have 32 bytes or more"),
        (pem(RSA).decode(), f"is a PEM file; for a public key set {PEM_FILE} to its path"),
    ],
    ids=["none", "short", "pem"],
)
def test_a_key_must_be_set(secret: str | None, sentence: str) -> None:
    """The error of the setting is one sentence, without the secret."""
    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, {} if secret is None else {"RINGBACK_JWT_SECRET": secret})

    assert str(caught.value) == f"RINGBACK_JWT_SECRET: {sentence}"


def test_one_key_is_enough(tmp_path: Path) -> None:
    """Any two of the three settings are refused, with the names of those that are set."""
    key, jwks = tmp_path / "key.pem", tmp_path / "jwks.json"
    key.write_bytes(pem(RSA))
    jwks.write_bytes(rsa_set(kid="a"))
    all_three = {"RINGBACK_JWT_SECRET": JWT_SECRET, PEM_FILE: str(key), JWKS_FILE: str(jwks)}
    for left_out in all_three:
        two = {name: value for name, value in all_three.items() if name != left_out}

        with pytest.raises(SettingsError, match="set exactly one of") as caught:
            load(TokenSettings, two)

        assert str(caught.value).startswith("RINGBACK_JWT_SECRET: ")
        assert all(name in str(caught.value) for name in two)
        assert left_out == "RINGBACK_JWT_SECRET" or left_out not in str(caught.value)
