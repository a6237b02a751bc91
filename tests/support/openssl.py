"""Signs by openssl, independently of the libraries with which the gateway verifies."""

import base64
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import]
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4


def openssl_hmac(algorithm: str, secret: bytes, payload: bytes) -> bytes:
    """The HMAC of a payload, by openssl."""
    key = ("-macopt", f"hexkey:{secret.hex()}")
    return _openssl("mac", "-digest", algorithm, *key, "-binary", "HMAC", data=payload)


class OpensslKey:
    """A private key, with which openssl signs."""

    def __init__(self, folder: Path, *options: str, pkcs8: bytes | None = None) -> None:
        self._file = folder / f"{uuid4()}.der"
        made = pkcs8 or _openssl("genpkey", *options, "-outform", "DER")
        self._file.write_bytes(made)

    @property
    def public_der(self) -> bytes:
        return _openssl("pkey", "-in", str(self._file), "-pubout", "-outform", "DER")

    def sign(self, data: bytes, *options: str) -> bytes:
        to_sign = self._file.with_suffix(".data")
        to_sign.write_bytes(data)
        key = ("-sign", "-rawin", "-inkey", str(self._file), "-in", str(to_sign))
        return _openssl("pkeyutl", *key, *options)


def ed25519_key(folder: Path, seed: bytes) -> OpensslKey:
    """The key of a seed of 32 bytes, as RFC 8410 writes it."""
    return OpensslKey(folder, pkcs8=bytes.fromhex("302e020100300506032b657004220420") + seed)


def whpk_of(key: OpensslKey) -> str:
    """A public Ed25519 key as Standard Webhooks writes it."""
    return "whpk_" + base64.b64encode(key.public_der[-32:]).decode()


def openssl_v1a(key: OpensslKey, message_id: str, sent_at_s: int, body: bytes) -> str:
    """The signature of a message by an Ed25519 key, as Standard Webhooks writes it."""
    signature = key.sign(f"{message_id}.{sent_at_s}.".encode() + body)
    return f"v1a,{base64.b64encode(signature).decode()}"


def openssl_jwt(key: OpensslKey, key_id: str, claims: Mapping[str, object]) -> str:
    """A token with the algorithm RS256."""
    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = key.sign(signed, "-digest", "sha256", "-pkeyopt", "rsa_padding_mode:pkcs1")
    return (signed + b"." + _base64url(signature)).decode()


def rsa_key_set(key: OpensslKey, key_id: str) -> str:
    """A JWKS. The modulus is the text of openssl; the exponent is 65537."""
    public = _openssl("rsa", "-pubin", "-inform", "DER", "-modulus", "-noout", data=key.public_der)
    modulus = bytes.fromhex(public.decode().strip().removeprefix("Modulus="))
    numbers = {"n": _base64url(modulus).decode(), "e": "AQAB"}
    return json.dumps({"keys": [{"kid": key_id, "kty": "RSA", "alg": "RS256", **numbers}]})


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _openssl(*arguments: str, data: bytes = b"") -> bytes:
    command = ["openssl", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout
