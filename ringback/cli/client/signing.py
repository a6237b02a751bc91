"""Creates tokens for the metrics API, with the configured key or the local stack's own."""

import getpass
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field, SecretStr

from ringback.cli.terminal import BadInputError
from ringback.local.jwt_secret import read_local_secret
from ringback.runtime.process.settings import Settings, load

_MIN_SECRET_BYTES = 32
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class SigningSettings(Settings):
    """Only commands read `jwt_private_key_file`; the services never have it."""

    jwt_secret: SecretStr | None = Field(default=None, description="Signs with HS256.")
    jwt_private_key_file: Path | None = Field(default=None, description="A private key as PEM.")
    jwt_audience: str = Field(default="ringback", description="The claim `aud`.")
    jwt_issuer: str | None = Field(default=None, description="The claim `iss`.")


@dataclass(frozen=True, slots=True)
class Claims:
    """The identity in the token; only a tenant has an `org_id`."""

    role: Literal["service", "tenant"]
    org_id: str | None
    subject: str
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Signer:
    key: Any
    algorithm: str
    """The name in JWT: HS256, ES256."""
    source: str
    """The origin of the key, for messages."""
    audience: str
    issuer: str | None
    key_id: str | None = None

    def token(self, claims: Claims) -> str:
        """Create a token that is valid for `claims.ttl_s` seconds."""
        now = int(time.time())
        payload = {
            "sub": claims.subject,
            "aud": self.audience,
            "iss": self.issuer,
            "role": claims.role,
            "org_id": claims.org_id,
            "iat": now,
            "exp": now + claims.ttl_s,
        }
        present = {name: value for name, value in payload.items() if value is not None}
        headers = {"kid": self.key_id} if self.key_id else None
        return jwt.encode(present, self.key, algorithm=self.algorithm, headers=headers)


def signer(environ: Mapping[str, str], state_dir: Path, *, key_id: str | None = None) -> Signer:
    """Read the signing key from the environment, else from the local stack.

    Raises SettingsError, and BadInputError if there is no usable key.
    """
    settings = load(SigningSettings, environ)
    if settings.jwt_private_key_file is not None:
        key, algorithm = _private_key(settings.jwt_private_key_file)
        source = "RINGBACK_JWT_PRIVATE_KEY_FILE"
    else:
        algorithm = "HS256"
        key, source = _secret(settings, state_dir)
    return Signer(key, algorithm, source, settings.jwt_audience, settings.jwt_issuer, key_id)


def whoami() -> str:
    """The user and machine for the audit log, such as `anna@laptop`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _secret(settings: SigningSettings, state_dir: Path) -> tuple[bytes, str]:
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value().encode()
        if len(secret) < _MIN_SECRET_BYTES:
            raise BadInputError(
                f"RINGBACK_JWT_SECRET must have at least {_MIN_SECRET_BYTES} bytes."
            )
        return secret, "RINGBACK_JWT_SECRET"
    local = read_local_secret(state_dir)
    if local is None:
        raise BadInputError(
            f"There is no key to sign a token: no local stack has run in {state_dir}, and neither "
            "RINGBACK_JWT_SECRET nor RINGBACK_JWT_PRIVATE_KEY_FILE is set. Start a local stack "
            "with `ringback up`, set one of them, or set RINGBACK_TOKEN to a token."
        )
    return local.encode(), str(state_dir / "jwt.secret")


def _private_key(path: Path) -> tuple[Any, str]:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise BadInputError(f"The key {path} cannot be read: {exc.strerror}.") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadInputError(
            f"The file {path} does not contain a private key in PEM format."
        ) from exc
    match key:
        case RSAPrivateKey():
            return key, "RS256"
        case EllipticCurvePrivateKey() if key.curve.name in _CURVES:
            return key, _CURVES[key.curve.name]
        case Ed25519PrivateKey() | Ed448PrivateKey():
            return key, "EdDSA"
        case _:
            raise BadInputError(
                f"The key {path} cannot sign tokens: use an RSA, EC or Ed25519 key."
            )
