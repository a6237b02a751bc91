"""A file with the public keys of the token issuer (JWKS, RFC 7517)."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog
from jwt import PyJWK

from ringback.contract.telemetry import LogEvent
from services.metrics.api.keys import VerificationKey, algorithm_of

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
        raise ValueError(f'{path} is no key set: {{"keys": [...]}}')
    keys: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _key(path, entry)
        if key is None:
            continue
        key_id = entry.get("kid")
        if not isinstance(key_id, str) or key_id in keys:
            raise ValueError(f"{path}: each key needs a `kid` of its own")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{path} holds no key that can check a token")
    return keys


def _key(path: Path, entry: dict[str, Any]) -> VerificationKey | None:
    """None for a key with another purpose: a key set may contain such keys."""
    if "d" in entry or entry.get("kty") == "oct":
        raise ValueError(f"{path} holds a private key or a secret; only public keys belong here")
    known = _ALGORITHMS.get(str(entry.get("kty")))
    if known is None or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg") is not None and str(entry["alg"]) not in known:
        return None
    try:
        key = PyJWK(entry)
    except Exception:  # ruff: ignore[blind-except]  # whatever is wrong with it, it is unusable
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
