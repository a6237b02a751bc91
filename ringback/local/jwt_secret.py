"""The local stack's own secrets, such as its token key: created once, kept with its data."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ringback.local.child import LocalStackError

_KEY_SETTINGS = ("RINGBACK_JWT_SECRET", "RINGBACK_JWT_PUBLIC_KEY_FILE", "RINGBACK_JWT_JWKS_FILE")
_RANDOM_BYTES = 48
_SHORTEST = 32


def has_key(environ: Mapping[str, str]) -> bool:
    """Whether the environment sets the key by which the metrics service verifies tokens."""
    return any(environ.get(name, "").strip() for name in _KEY_SETTINGS)


def local_secret(state_dir: Path) -> str:
    """The key of the stack in `state_dir`.

    Raises LocalStackError when what is there is no secret.
    """
    return kept_secret(_path(state_dir))


def read_local_secret(state_dir: Path) -> str | None:
    """The key of the stack in `state_dir`, or None where none has been made yet.

    Raises LocalStackError when the file is not ours to read.
    """
    return read_secret(_path(state_dir))


def kept_secret(path: Path) -> str:
    """The secret in `path`; the first time it is made, for its owner's eyes.

    Raises LocalStackError when what is there is no secret.
    """
    if not path.exists():
        # Written under a temporary name, then renamed, so that readers find it complete.
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_RANDOM_BYTES) + "\n")
        unfinished.rename(path)
    secret = read_secret(path)
    if secret is None:
        raise LocalStackError(
            f"The file {path} holds no secret of {_SHORTEST} bytes; remove it, and a new one is "
            "made."
        )
    return secret


def read_secret(path: Path) -> str | None:
    """The secret in `path`, or None where none is; LocalStackError when we may not read it."""
    try:
        secret = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise LocalStackError(f"The local stack's secret {path} cannot be read.") from exc
    return secret if len(secret) >= _SHORTEST else None


def _path(state_dir: Path) -> Path:
    return state_dir / "jwt.secret"
