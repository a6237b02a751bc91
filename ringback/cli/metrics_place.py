"""The address of the metrics service, and our token for it."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from ringback.cli.addresses import local_ports
from ringback.cli.signing import Claims, signer, whoami
from ringback.local.ports import LOOPBACK
from ringback.runtime.process.settings import HeaderSecret, Settings, load

_ADDRESS = re.compile(r"(?:(https?)://)?((?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5})/?")
_TTL_S = 300


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("must be host:port of the gRPC API, or https://host:port with TLS")
    return text


class MetricsPlaceSettings(Settings):
    metrics_url: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None, description="The gRPC API, host:port."
    )
    metrics_root_certificates: Path | None = Field(
        default=None, description="A PEM file with the authority of a service with TLS."
    )
    token: HeaderSecret | None = Field(default=None, description="A token that somebody gave us.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsPlace:
    address: str
    tls: bool
    root_certificates: Path | None
    token: Callable[[], str]
    token_source: str
    """Where the token came from, for a user whose token is rejected."""

    @classmethod
    def from_env(cls, state_dir: Path, environ: Mapping[str, str] = os.environ) -> "MetricsPlace":
        """The address in the environment, else that of the local stack in `state_dir`.

        Raises SettingsError, or BadInputError if there is neither a token nor a key for one.
        """
        settings = load(MetricsPlaceSettings, environ)
        given = _ADDRESS.fullmatch(settings.metrics_url) if settings.metrics_url else None
        if given:
            scheme, address = given.groups()
        else:
            ports = local_ports(environ, state_dir).services
            scheme, address = None, f"{LOOPBACK}:{ports.metrics_grpc}"
        token, source = _token(settings, environ, state_dir)
        return cls(
            address=address,
            tls=scheme == "https",
            root_certificates=settings.metrics_root_certificates,
            token=token,
            token_source=source,
        )


def _token(
    settings: MetricsPlaceSettings, environ: Mapping[str, str], state_dir: Path
) -> tuple[Callable[[], str], str]:
    if settings.token is not None:
        token = settings.token.get_secret_value()
        return lambda: token, "RINGBACK_TOKEN"
    signing = signer(environ, state_dir)
    claims = Claims("service", None, whoami(), _TTL_S)
    return lambda: signing.token(claims), f"the key {signing.source}"
