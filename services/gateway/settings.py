"""The settings of the gateway."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    HeaderSecret,
    Host,
    LogSettings,
    ObservabilitySettings,
    Settings,
    TraceSettings,
)
from services.gateway.endpoints import (
    DEFAULT_ENDPOINT_ID,
    Endpoint,
    parse_endpoints,
    read_endpoints_file,
)

_MIB = 1024 * 1024

OPEN_TO_ALL = (
    "without a secret anyone can send webhooks in your name "
    "(RINGBACK_ALLOW_UNAUTHENTICATED=true to run without)"
)


class SpoolSettings(Settings):
    """Where webhooks are kept while the broker cannot confirm them, and how many."""

    spool_dir: Path | None = Field(
        default=None,
        description="A folder on a persistent disk, for this gateway only. Webhooks that the "
        "broker cannot confirm are kept there until it can. Without it they are rejected.",
    )
    spool_bytes: int = Field(
        default=1024 * _MIB, ge=_MIB, description="Maximum size of the spool in bytes."
    )
    spool_free_bytes: int = Field(
        default=256 * _MIB, ge=0, description="Bytes that the spool leaves free on its disk."
    )
    spool_after_s: float = Field(
        default=0.4,
        gt=0,
        le=86400,
        description="Seconds without a confirm from the broker after which a webhook is spooled.",
    )
    spool_timeout_s: float = Field(
        default=2.0,
        gt=0,
        le=86400,
        description="Timeout in seconds for a write to the spool.",
    )
    spool_drain_per_s: int = Field(
        default=400,
        ge=1,
        description="Maximum number of spooled webhooks published per second.",
    )


def _endpoints_text(value: SecretStr) -> SecretStr:
    parse_endpoints(value.get_secret_value())
    return value


def _endpoints_file(value: Path) -> Path:
    read_endpoints_file(value)
    return value


class EndpointSettings(Settings):
    """Endpoints with their orgs and secrets.

    The default endpoint exists when it has a secret, or when there is no other endpoint.
    """

    allow_unauthenticated: bool = Field(
        default=False, description="Whether endpoints without a secret accept webhooks."
    )
    default_org_id: UUID = Field(
        default=UUID("00000000-0000-0000-0000-000000000001"),
        description="The org of webhooks sent to /api/webhooks/vapi.",
    )
    endpoints: Annotated[SecretStr, AfterValidator(_endpoints_text)] | None = Field(
        default=None,
        description="More endpoints, as JSON: "
        '{"acme": {"org_id": "<uuid>", "secret": "<text>"}} accepts webhooks for that org at '
        "/api/webhooks/vapi/acme. Use a list of secrets to replace one without downtime.",
    )
    endpoints_file: Annotated[Path, AfterValidator(_endpoints_file)] | None = Field(
        default=None,
        description="A file with the JSON of RINGBACK_ENDPOINTS, to use instead of it.",
    )
    vapi_secret: HeaderSecret | None = Field(
        default=None,
        validate_default=True,
        description="What Vapi sends to /api/webhooks/vapi in X-Vapi-Secret, or as a bearer token. "
        "Required unless there are other endpoints or RINGBACK_ALLOW_UNAUTHENTICATED is set.",
    )
    vapi_secret_previous: HeaderSecret | None = Field(
        default=None,
        description="The previous secret for the same endpoint, valid while RINGBACK_VAPI_SECRET "
        "replaces it.",
    )

    @field_validator("default_org_id")
    @classmethod
    def _is_an_org(cls, value: UUID) -> UUID:
        if not value.int:
            raise ValueError(f"must not be {value}, which is reserved for messages without an org")
        return value

    @field_validator("endpoints_file")
    @classmethod
    def _one_list_of_endpoints(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("endpoints") is not None:
            raise ValueError("set this or RINGBACK_ENDPOINTS, not both")
        return value

    @field_validator("vapi_secret")
    @classmethod
    def _every_endpoint_has_a_secret(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if info.data.get("allow_unauthenticated") or "allow_unauthenticated" not in info.data:
            return value
        if "endpoints" not in info.data or "endpoints_file" not in info.data:
            return value
        others = _others(info.data["endpoints"], info.data["endpoints_file"])
        if value is None and not others:
            raise ValueError(f"is required: {OPEN_TO_ALL}")
        bare = ", ".join(endpoint.id for endpoint in others if not endpoint.secrets)
        if bare:
            raise ValueError(f"other endpoints have no secret ({bare}): {OPEN_TO_ALL}")
        return value

    def all_endpoints(self) -> tuple[Endpoint, ...]:
        others = _others(self.endpoints, self.endpoints_file)
        if self.vapi_secret is None and others:
            return others
        return (self._default_endpoint(), *others)

    def _default_endpoint(self) -> Endpoint:
        configured = (self.vapi_secret, self.vapi_secret_previous)
        return Endpoint(
            id=DEFAULT_ENDPOINT_ID,
            org_id=self.default_org_id,
            secrets=tuple(one.get_secret_value().encode() for one in configured if one is not None)
            if self.vapi_secret is not None
            else (),
        )


def _others(text: SecretStr | None, file: Path | None) -> tuple[Endpoint, ...]:
    if text is not None:
        return parse_endpoints(text.get_secret_value())
    return read_endpoints_file(file) if file is not None else ()


class GatewaySettings(
    EndpointSettings,
    SpoolSettings,
    BrokerSettings,
    DatabaseSettings,
    ObservabilitySettings,
    LogSettings,
    TraceSettings,
):
    gateway_host: Host = Field(
        default="*",
        description="Where the gateway listens for webhooks: addresses separated by commas, "
        "or * for all of IPv4 and IPv6.",
    )
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="The port for webhooks.")
    gateway_observability_port: int = Field(
        default=9101, ge=0, le=65535, description="Port of the gateway's /metrics and health."
    )
    max_body_bytes: int = Field(
        default=8 * _MIB,
        ge=1024,
        le=100 * _MIB,
        description="Maximum size of a body. Reports of long calls reach megabytes.",
    )
    body_timeout_s: float = Field(
        default=10.0, gt=0, le=86400, description="Timeout in seconds for receiving a body."
    )
    publish_timeout_s: float = Field(
        default=2.0, gt=0, le=86400, description="Timeout in seconds for a confirm from the broker."
    )
    max_connections: int = Field(
        default=10_000,
        ge=1,
        description="Maximum number of open connections, as far as the limit of open files allows. "
        "At the maximum, a new connection closes the one that has been idle longest without an "
        "accepted webhook.",
    )
    keepalive_timeout_s: float = Field(
        default=650.0,
        ge=1,
        le=86400,
        description="Seconds that a connection may be idle after an accepted webhook. Should be "
        "higher than the idle timeout of any proxy in front: nginx and AWS have 60 s, Traefik "
        "90 s, Google 600 s, Envoy 3600 s.",
    )
    max_in_flight: int = Field(
        default=1000,
        ge=1,
        description="Maximum number of requests in flight. Above it the response is 503.",
    )
    max_in_flight_bytes: int = Field(
        default=32 * _MIB,
        ge=1024,
        validate_default=True,
        description="Maximum number of body bytes in flight. Above it the response is 503.",
    )

    @field_validator("max_in_flight_bytes")
    @classmethod
    def _the_largest_body_fits(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("max_body_bytes", 0):
            raise ValueError(
                "must not be below RINGBACK_MAX_BODY_BYTES, or such a body is always rejected"
            )
        return value

    pending_rows: int = Field(
        default=10_000, ge=1, description="Maximum number of rows waiting for the delivery log."
    )
    gateway_drain_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=86400,
        description="Seconds at shutdown to finish the requests in flight, and one more on each "
        "open connection.",
    )
