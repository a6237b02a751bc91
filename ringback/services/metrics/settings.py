"""The settings of the metrics service."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from ringback.runtime.outgoing.remote_keys import RemoteKeySet
from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    Host,
    LogSettings,
    ManagementSettings,
    ObservabilitySettings,
    OutgoingSettings,
    RedactionSettings,
    Settings,
    TraceSettings,
    http_url,
)
from ringback.services.metrics.auth.keys import (
    Keys,
    KeySetFile,
    keys_in_file,
    public_key_file,
    secret_key,
)
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.slack.settings import SlackSettings


def _public_key(path: Path) -> Path:
    public_key_file(path)
    return path


def _key_set(path: Path) -> Path:
    keys_in_file(path)
    return path


class TokenSettings(Settings):
    """How tokens are verified: exactly one key setting, the audience, optionally the issuer."""

    jwt_public_key_file: Annotated[Path, AfterValidator(_public_key)] | None = Field(
        default=None,
        description="A file with the public key (PEM) that verifies callers' tokens. The type of "
        "the key decides the algorithm: RS256, ES256, ES384, ES512 or EdDSA. Instead of "
        "RINGBACK_JWT_SECRET.",
    )
    jwt_jwks_file: Annotated[Path, AfterValidator(_key_set)] | None = Field(
        default=None,
        description="A file with several public keys (JWKS), chosen by `kid`. Instead of "
        "RINGBACK_JWT_SECRET. It is read again when it changes.",
    )
    jwt_jwks_url: Annotated[str, AfterValidator(http_url)] | None = Field(
        default=None,
        description="The URL of public keys (JWKS), such as an OAuth2 server has. Instead of "
        "RINGBACK_JWT_SECRET. They are fetched every five minutes, and when a token names an "
        "unknown one; without an answer they stay valid for an hour. It must be https with a "
        "public address, or in RINGBACK_OUTGOING_NETWORKS.",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="The secret (32 bytes or more) that verifies callers' tokens by HS256. "
        "Required, unless public keys are set.",
    )
    jwt_audience: str = Field(
        default="ringback", description="The audience that a token must have in its claim `aud`."
    )
    jwt_issuer: str | None = Field(
        default=None,
        description="The issuer that a token must have in its claim `iss`. Empty: any issuer.",
    )

    @field_validator("jwt_secret")
    @classmethod
    def _exactly_one_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        others = ("jwt_public_key_file", "jwt_jwks_file", "jwt_jwks_url")
        if value is not None:
            secret_key(value.get_secret_value())
        if not all(name in info.data for name in others):
            # One of them is already reported as invalid.
            return value
        given = {**info.data, "jwt_secret": value}
        named = [
            f"RINGBACK_{name.upper()}"
            for name in ("jwt_secret", *others)
            if given[name] is not None
        ]
        if not named:
            raise ValueError(
                "is required, to check callers' tokens "
                "(or RINGBACK_JWT_PUBLIC_KEY_FILE, RINGBACK_JWT_JWKS_FILE or RINGBACK_JWT_JWKS_URL)"
            )
        if len(named) > 1:
            raise ValueError(f"set exactly one of {' and '.join(named)}")
        return value

    def token_keys(self) -> Keys:
        """Read the keys from the setting or its file; those at a URL are fetched later.

        Raises ValueError if the file is invalid.
        """
        if self.jwt_secret is not None:
            return secret_key(self.jwt_secret.get_secret_value())
        if self.jwt_public_key_file is not None:
            return public_key_file(self.jwt_public_key_file)
        if self.jwt_jwks_file is not None:
            return KeySetFile(self.jwt_jwks_file)
        assert self.jwt_jwks_url is not None
        return RemoteKeySet(self.jwt_jwks_url)


class MetricsSettings(
    TokenSettings,
    ConsoleSettings,
    OutgoingSettings,
    SlackSettings,
    BrokerSettings,
    ManagementSettings,
    DatabaseSettings,
    ObservabilitySettings,
    LogSettings,
    RedactionSettings,
    TraceSettings,
):
    metrics_host: Host = Field(
        default="*",
        description="Where the metrics API listens: addresses separated by commas, or * (or ::) "
        "for all of IPv4 and IPv6. Do not make it public.",
    )
    metrics_grpc_port: int = Field(
        default=50051, ge=1, le=65535, description="The port for gRPC calls."
    )
    metrics_rest_port: int = Field(
        default=8081, ge=1, le=65535, description="The port for REST calls."
    )
    metrics_observability_port: int = Field(
        default=9103, ge=0, le=65535, description="Port of the metrics service's /metrics."
    )
    metrics_interval_s: float = Field(
        default=5.0,
        ge=0.1,
        le=300,
        description="Seconds between two counts of the dead letters. The queues are read at least "
        "once a second.",
    )
    metrics_drain_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=86400,
        description="Seconds to finish the calls in flight during a shutdown.",
    )
