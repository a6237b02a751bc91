"""Public keys that verify tokens. Each has one algorithm, whatever a token claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

MIN_RSA_BITS = 2048
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    #: A secret as bytes, or a public key of the library `cryptography`.
    key: Any
    algorithm: str


def algorithm_of(key: object) -> str | None:
    """The algorithm for a public key of the library `cryptography`; None if it is unsuitable."""
    match key:
        case RSAPublicKey(key_size=bits) if bits >= MIN_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name)
        case Ed25519PublicKey() | Ed448PublicKey():
            return "EdDSA"
        case _:
            return None


_ALGORITHMS = {
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "EC": {"ES256", "ES384", "ES512"},
    "OKP": {"EdDSA"},
}

KeysById = Mapping[str, VerificationKey]


def keys_in(document: bytes | str, source: object) -> KeysById:
    """The keys of a key set (JWKS) that can verify a token. Raises ValueError with the reason.

    `source` names the document in it.
    """
    try:
        values = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise ValueError(f"{source} is not JSON") from None
    entries = values.get("keys") if isinstance(values, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{source} is not a key set: {{"keys": [...]}}')
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _key(source, entry)
        if key is None:
            continue
        key_id = entry.get("kid")
        if not isinstance(key_id, str) or key_id in keys:
            raise ValueError(f"{source}: each key needs its own `kid`")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{source} contains no key that can verify a token")
    return keys


def _key(source: object, entry: dict[str, Any]) -> VerificationKey | None:
    """None for a key with another purpose: a key set may contain such keys."""
    if "d" in entry or entry.get("kty") == "oct":
        raise ValueError(f"{source} contains a private key or a secret; use only public keys")
    known = _ALGORITHMS.get(str(entry.get("kty")))
    if known is None or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg") is not None and str(entry["alg"]) not in known:
        return None
    try:
        key = PyJWK(entry)
    except Exception:  # ruff: ignore[blind-except]  # the key is unusable
        return None
    if key.algorithm_name not in known or algorithm_of(key.key) is None:
        return None
    return VerificationKey(key.key, key.algorithm_name)
