"""The keys that verify tokens. Each has one algorithm, whatever a token claims."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK

from ringback.contract.telemetry import LogEvent

MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
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
    if len(encoded) < MIN_SECRET_BYTES:
        raise ValueError(f"must have {MIN_SECRET_BYTES} bytes or more")
    return OneKey(VerificationKey(encoded, "HS256"))


def public_key_file(path: Path) -> OneKey:
    """The key of a PEM file; its type decides the algorithm. Raises ValueError with a sentence."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    if b"PRIVATE KEY" in text:
        raise ValueError(f"{path} contains a private key; use the public key instead")
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path} contains no public key in PEM") from None
    algorithm = algorithm_of(key)
    if algorithm is None:
        raise ValueError(
            f"{path} contains an unsupported key; supported are RSA ({MIN_RSA_BITS} bits or more), "
            "P-256, P-384, P-521 and Ed25519"
        )
    return OneKey(VerificationKey(key, algorithm))


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


_LOOK_INTERVAL_S = 1.0
_ALGORITHMS = {
    "RSA": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
    "EC": {"ES256", "ES384", "ES512"},
    "OKP": {"EdDSA"},
}

KeysById = Mapping[str, VerificationKey]


class KeySetFile:
    """The keys of a file by their `kid`. Raises ValueError when it is invalid at the start.

    When the file changes, it is read again within about a second. While the new content is invalid,
    the previous keys stay in use.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen = _stamp(path)
        self._looked_at_s = clock()
        self._keys = keys_in_file(path)

    def key_of(self, key_id: object) -> VerificationKey | None:
        self._look_again()
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def _look_again(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_at_s < _LOOK_INTERVAL_S:
            return
        self._looked_at_s = now_s
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        log = structlog.get_logger()
        try:
            self._keys = keys_in_file(self._path)
        except ValueError as exc:
            log.warning(LogEvent.JWKS_REJECTED, reason=str(exc))
        else:
            log.info(LogEvent.JWKS_RELOADED, keys=sorted(self._keys))


def keys_in_file(path: Path) -> KeysById:
    """The keys of the file that can verify a token. Raises ValueError with a sentence."""
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    except orjson.JSONDecodeError:
        raise ValueError(f"{path} is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'{path} is not a key set: {{"keys": [...]}}')
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _key(path, entry)
        if key is None:
            continue
        key_id = entry.get("kid")
        if not isinstance(key_id, str) or key_id in keys:
            raise ValueError(f"{path}: each key needs its own `kid`")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{path} contains no key that can verify a token")
    return keys


def _key(path: Path, entry: dict[str, Any]) -> VerificationKey | None:
    """None for a key with another purpose: a key set may contain such keys."""
    if "d" in entry or entry.get("kty") == "oct":
        raise ValueError(f"{path} contains a private key or a secret; use only public keys")
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


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
