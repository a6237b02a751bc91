"""The local stack's own secrets, such as its token key: created once, kept with its data."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from ringback.local.child import LocalStackError

_KEY_SETTINGS = (
    "RINGBACK_JWT_SECRET",
    "RINGBACK_JWT_SECRET_FILE",
    "RINGBACK_JWT_PUBLIC_KEY_FILE",
    "RINGBACK_JWT_JWKS_FILE",
    "RINGBACK_JWT_JWKS_URL",
)
_CONSOLE_SETTINGS = ("RINGBACK_CONSOLE_SECRET", "RINGBACK_CONSOLE_SECRET_FILE")
_RANDOM_BYTES = 48
_MIN_LENGTH = 32


def has_key(environ: Mapping[str, str]) -> bool:
    """Whether the environment sets the key by which the metrics service verifies tokens."""
    return any(environ.get(name, "").strip() for name in _KEY_SETTINGS)


def local_console_secret(environ: Mapping[str, str], state_dir: Path) -> str | None:
    """The secret for sessions of the console, created if it is missing; None if one is set.

    Raises LocalStackError if its file is invalid.
    """
    if any(environ.get(name, "").strip() for name in _CONSOLE_SETTINGS):
        return None
    return kept_secret(state_dir / "console.secret")


def local_secret(state_dir: Path) -> str:
    """The key of the stack in `state_dir`, created if it is missing.

    Raises LocalStackError if its file is invalid.
    """
    return kept_secret(_path(state_dir))


def read_local_secret(state_dir: Path) -> str | None:
    """The key of the stack in `state_dir`, or None if there is no key yet.

    Raises LocalStackError if the file cannot be read.
    """
    return read_secret(_path(state_dir))


def kept_secret(path: Path) -> str:
    """The secret in `path`, created if it is missing, readable only by its owner.

    Raises LocalStackError if the file is invalid.
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
            f"The file {path} does not contain a secret of {_MIN_LENGTH} bytes or more; remove it, "
            "and a new one is created."
        )
    return secret


def read_secret(path: Path) -> str | None:
    """The secret in `path`, or None if there is none; LocalStackError if it cannot be read."""
    try:
        secret = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise LocalStackError(f"The local stack's secret {path} cannot be read.") from exc
    return secret if len(secret) >= _MIN_LENGTH else None


def _path(state_dir: Path) -> Path:
    return state_dir / "jwt.secret"
