"""The keys that verify tokens. Each has one algorithm, whatever a token claims."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

LEAST_SECRET_BYTES = 32
LEAST_RSA_BITS = 2048
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    #: A secret as bytes, or a public key of the library `cryptography`.
    key: Any
    algorithm: str


class Keys(Protocol):
    def key_of(self, key_id: object) -> VerificationKey | None:
        """The key for a token whose header has this `kid` (any value, None if absent)."""


@dataclass(frozen=True, slots=True)
class OneKey:
    """Verifies every token, whatever its `kid`."""

    key: VerificationKey

    def key_of(self, key_id: object) -> VerificationKey | None:  # ruff: ignore[unused-method-argument]  # there is but one
        return self.key


def secret_key(secret: str) -> OneKey:
    """The key for HS256. Raises ValueError, whose text does not contain the secret."""
    if "-----BEGIN" in secret:
        raise ValueError(
            "is a PEM file; RINGBACK_JWT_PUBLIC_KEY_FILE takes the path of a public key"
        )
    encoded = secret.encode()
    if len(encoded) < LEAST_SECRET_BYTES:
        raise ValueError(f"must have {LEAST_SECRET_BYTES} bytes or more")
    return OneKey(VerificationKey(encoded, "HS256"))


def public_key_file(path: Path) -> OneKey:
    """The key of a PEM file; its type decides the algorithm. Raises ValueError with a sentence."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    if b"PRIVATE KEY" in text:
        raise ValueError(f"{path} holds a private key; only the public one belongs here")
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no public key in PEM") from None
    algorithm = algorithm_of(key)
    if algorithm is None:
        raise ValueError(
            f"{path} holds a key of another kind than RSA ({LEAST_RSA_BITS} bits or more), "
            "P-256, P-384, P-521 or Ed25519"
        )
    return OneKey(VerificationKey(key, algorithm))


def algorithm_of(key: object) -> str | None:
    """The algorithm for a public key of the library `cryptography`; None if it is unsuitable."""
    match key:
        case RSAPublicKey(key_size=bits) if bits >= LEAST_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name)
        case Ed25519PublicKey() | Ed448PublicKey():
            return "EdDSA"
        case _:
            return None
