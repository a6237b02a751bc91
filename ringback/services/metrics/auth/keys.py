"""The keys that verify tokens. Each has one algorithm, whatever a token claims."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ringback.contract.telemetry import LogEvent
from ringback.runtime.key_set import (
    MIN_RSA_BITS,
    KeysById,
    VerificationKey,
    algorithm_of,
    keys_in,
)

MIN_SECRET_BYTES = 32


class Keys(Protocol):
    def key_of(self, key_id: object) -> VerificationKey | None:
        """The key for a token whose header has this `kid` (any value, None if absent)."""

    def may_lack_keys(self) -> bool:
        """Whether a key that is missing here may be valid nevertheless."""


@dataclass(frozen=True, slots=True)
class OneKey:
    """Verifies every token, whatever its `kid`."""

    key: VerificationKey

    def key_of(self, key_id: object) -> VerificationKey | None:  # ruff: ignore[unused-method-argument]  # for others
        return self.key

    def may_lack_keys(self) -> bool:
        return False


def secret_key(secret: str) -> OneKey:
    """The key for HS256. Raises ValueError, whose text does not contain the secret."""
    if "-----BEGIN" in secret:
        raise ValueError(
            "is a PEM file; for a public key set RINGBACK_JWT_PUBLIC_KEY_FILE to its path"
        )
    encoded = secret.encode()
    if len(encoded) < MIN_SECRET_BYTES:
        raise ValueError(f"must have {MIN_SECRET_BYTES} bytes or more")
    return OneKey(VerificationKey(encoded, "HS256"))


def public_key_file(path: Path) -> OneKey:
    """The key of a PEM file; its type decides the algorithm. Raises ValueError with the reason."""
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


_CHECK_INTERVAL_S = 1.0


class KeySetFile:
    """The keys of a file by their `kid`. Raises ValueError if the file is invalid.

    When the file changes, it is read again within about a second. If the new content is invalid,
    the previous keys stay in use.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen = _stamp(path)
        self._checked_at_s = clock()
        self._keys = keys_in_file(path)

    def key_of(self, key_id: object) -> VerificationKey | None:
        self._reload_if_changed()
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def may_lack_keys(self) -> bool:
        return False

    def _reload_if_changed(self) -> None:
        now_s = self._clock()
        if now_s - self._checked_at_s < _CHECK_INTERVAL_S:
            return
        self._checked_at_s = now_s
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
    """The keys of the file that can verify a token. Raises ValueError with the reason."""
    try:
        document = path.read_bytes()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    return keys_in(document, path)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
