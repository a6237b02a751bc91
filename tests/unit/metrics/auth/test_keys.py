"""Tests for the keys that tokens are checked with, and for the settings that name them."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ringback.runtime.process.settings import SettingsError, load
from services.metrics.auth.authenticator import Authenticator
from services.metrics.auth.keys import Keys, KeySetFile, public_key_file
from services.metrics.settings import TokenSettings
from services.metrics.transport.errors import ApiError
from tests.support.tokens import JWT_SECRET

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

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
        Authenticator(keys, "ringback", None).authenticate(f"Bearer {sent}")
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "contains no public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nsesame\n-----END PUBLIC KEY-----\n", "no public key in PEM"),
        (private_pem(RSA), "contains a private key"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "contains an unsupported key"),
        (pem(rsa.generate_private_key(65537, 1024)), "2048 bits or more"),  # ruff: ignore[weak-cryptographic-key]
    ],
    ids=["empty", "garbage", "private", "curve", "short"],
)
def test_an_invalid_key_file_is_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    """At the start, in a sentence that names the variable and the file."""
    path = tmp_path / "key.pem"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, {"RINGBACK_JWT_PUBLIC_KEY_FILE": str(path)})

    assert str(caught.value).startswith(f"RINGBACK_JWT_PUBLIC_KEY_FILE: {path} ")
    assert words in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("variable", ["RINGBACK_JWT_PUBLIC_KEY_FILE", "RINGBACK_JWT_JWKS_FILE"])
def test_a_missing_file_is_reported(tmp_path: Path, variable: str) -> None:
    """One line that names both."""
    path = tmp_path / "nothing"

    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, {variable: str(path)})

    assert str(caught.value) == f"{variable}: {path} cannot be read: No such file or directory"


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sesame", "is not JSON"),
        ("[]", "is not a key set"),
        ('{"keys": [7]}', "is not a key set"),
        ('{"keys": []}', "contains no key that can verify a token"),
        (json.dumps({"keys": [jwk(RSA, "RS256")]}), "each key needs its own `kid`"),
        (json.dumps({"keys": [jwk(RSA, "RS256", kid="a")] * 2}), "each key needs its own `kid`"),
        ('{"keys": [{"kty": "oct", "k": "c2VzYW1l", "kid": "a"}]}', "use only public keys"),
        (json.dumps({"keys": [jwk(RSA, "RS256", kid="a", d="sesame")]}), "use only public keys"),
        (json.dumps({"keys": [jwk(RSA, "RS256", kid="a", alg="HS256")]}), "contains no key"),
        (json.dumps({"keys": [jwk(RSA, "RS256", kid="a", alg="none")]}), "contains no key"),
    ],
)
def test_an_invalid_key_set_is_rejected(tmp_path: Path, content: str, words: str) -> None:
    """At the start, in a sentence."""
    path = tmp_path / "jwks.json"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, {"RINGBACK_JWT_JWKS_FILE": str(path)})

    assert words in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_key_set_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A new key is used within a second; a broken file changes nothing."""
    now_s = 100.0
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk(RSA, "RS256", kid="old")]}), encoding="utf-8")
    found = KeySetFile(path, clock=lambda: now_s)

    replace(path, json.dumps({"keys": [jwk(RSA, "RS256", kid="new")]}))
    before = (found.key_of("old"), found.key_of("new"))
    now_s += 1
    after = (found.key_of("old"), found.key_of("new"))
    replace(path, "half a fi")
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


def replace(path: Path, content: str) -> None:
    """Replace the file as a mounted secret is replaced."""
    beside = path.with_suffix(".new")
    beside.write_text(content, encoding="utf-8")
    Path(beside).replace(path)


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {},
            (
                "RINGBACK_JWT_SECRET: is required, to check callers' tokens "
                "(or RINGBACK_JWT_PUBLIC_KEY_FILE, or RINGBACK_JWT_JWKS_FILE)"
            ),
        ),
        ({"RINGBACK_JWT_SECRET": "sesame"}, "RINGBACK_JWT_SECRET: must have 32 bytes or more"),
        (
            {"RINGBACK_JWT_SECRET": pem(RSA).decode()},
            (
                "RINGBACK_JWT_SECRET: is a PEM file; RINGBACK_JWT_PUBLIC_KEY_FILE takes the path "
                "of a public key"
            ),
        ),
    ],
    ids=["none", "short", "pem"],
)
def test_a_key_must_be_set(environ: dict[str, str], sentence: str) -> None:
    """The error of the setting is one sentence, without the secret."""
    with pytest.raises(SettingsError) as caught:
        load(TokenSettings, environ)

    assert str(caught.value) == sentence


def test_one_key_is_enough(tmp_path: Path) -> None:
    """Any two of the three settings are refused, with the names of those that are set."""
    key, key_set = tmp_path / "key.pem", tmp_path / "jwks.json"
    key.write_bytes(pem(RSA))
    key_set.write_text(json.dumps({"keys": [jwk(RSA, "RS256", kid="a")]}), encoding="utf-8")
    all_three = {
        "RINGBACK_JWT_SECRET": JWT_SECRET,
        "RINGBACK_JWT_PUBLIC_KEY_FILE": str(key),
        "RINGBACK_JWT_JWKS_FILE": str(key_set),
    }
    for left_out in all_three:
        two = {name: value for name, value in all_three.items() if name != left_out}

        with pytest.raises(SettingsError, match="set exactly one of") as caught:
            load(TokenSettings, two)

        assert str(caught.value).startswith("RINGBACK_JWT_SECRET: ")
        assert all(name in str(caught.value) for name in two)
        assert left_out == "RINGBACK_JWT_SECRET" or left_out not in str(caught.value)
