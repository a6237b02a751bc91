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

from ringback.runtime.settings import (
    BrokerSettings,
    DatabaseSettings,
    ExpositionSettings,
    HeaderSecret,
    Host,
    LogSettings,
    RedactionSettings,
    Settings,
    TraceSettings,
)
from services.gateway.endpoint import DEFAULT_ENDPOINT_ID, Endpoint
from services.gateway.endpoint_list import endpoints_in, endpoints_in_file
from services.gateway.spool.spool_settings import SpoolSettings

_MIB = 1024 * 1024

OPEN_TO_ALL = (
    "without a secret anyone can send webhooks in your name "
    "(RINGBACK_ALLOW_UNAUTHENTICATED=true to run without)"
)


def _endpoints_text(value: SecretStr) -> SecretStr:
    endpoints_in(value.get_secret_value())
    return value


def _endpoints_file(value: Path) -> Path:
    endpoints_in_file(value)
    return value


class EndpointSettings(Settings):
    """Who may send what in whose name.

    The default endpoint stands when it has a secret, or when there is no other endpoint.
    """

    allow_unauthenticated: bool = Field(
        default=False, description="Whether endpoints without a secret may take webhooks."
    )
    default_org_id: UUID = Field(
        default=UUID("00000000-0000-0000-0000-000000000001"),
        description="The org of webhooks at /api/webhooks/vapi.",
    )
    endpoints: Annotated[SecretStr, AfterValidator(_endpoints_text)] | None = Field(
        default=None,
        description="More endpoints, as JSON: "
        '{"acme": {"org_id": "<uuid>", "secret": "<text>"}} takes webhooks for that org at '
        "/api/webhooks/vapi/acme. A list of secrets is valid while one replaces another.",
    )
    endpoints_file: Annotated[Path, AfterValidator(_endpoints_file)] | None = Field(
        default=None, description="A file with the JSON of RINGBACK_ENDPOINTS, instead of it."
    )
    vapi_secret: HeaderSecret | None = Field(
        default=None,
        validate_default=True,
        description="What Vapi sends to /api/webhooks/vapi in X-Vapi-Secret, or as a bearer token. "
        "Required, unless there are other endpoints or all may send.",
    )
    vapi_secret_previous: HeaderSecret | None = Field(
        default=None,
        description="Another secret for the same endpoint, valid while RINGBACK_VAPI_SECRET "
        "replaces it.",
    )

    @field_validator("default_org_id")
    @classmethod
    def _is_an_org(cls, value: UUID) -> UUID:
        if not value.int:
            raise ValueError(f"must not be {value}, the org of messages without one")
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
        return endpoints_in(text.get_secret_value())
    return endpoints_in_file(file) if file is not None else ()


class GatewaySettings(
    EndpointSettings,
    SpoolSettings,
    BrokerSettings,
    DatabaseSettings,
    ExpositionSettings,
    LogSettings,
    RedactionSettings,
    TraceSettings,
):
    gateway_host: Host = Field(
        default="*",
        description="Where the gateway listens for webhooks: addresses with commas between them, "
        "or * for all of IPv4 and IPv6.",
    )
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="The port for webhooks.")
    gateway_exposition_port: int = Field(
        default=9101, ge=0, le=65535, description="Port of the gateway's /metrics and health."
    )
    max_body_bytes: int = Field(
        default=8 * _MIB,
        ge=1024,
        le=100 * _MIB,
        description="The largest body taken. Reports of long calls reach megabytes.",
    )
    body_timeout_s: float = Field(
        default=10.0, gt=0, le=86400, description="Seconds in which a body must have arrived."
    )
    publish_timeout_s: float = Field(
        default=2.0, gt=0, le=86400, description="Seconds in which the broker must have confirmed."
    )
    max_connections: int = Field(
        default=10_000,
        ge=1,
        description="Connections open at once, as far as the limit of open files allows. Beyond, "
        "the one gives way that has waited longest without having brought a webhook.",
    )
    keepalive_timeout_s: float = Field(
        default=650.0,
        ge=1,
        le=86400,
        description="Seconds for which a connection that has brought a webhook may be idle. More "
        "than any proxy in front keeps its own idle connections: 60 s at nginx and AWS, 90 s at "
        "Traefik, 600 s at Google, 3600 s at Envoy.",
    )
    max_in_hand: int = Field(
        default=1000, ge=1, description="Requests in hand at once; beyond, the answer is 503."
    )
    max_in_hand_bytes: int = Field(
        default=32 * _MIB,
        ge=1024,
        validate_default=True,
        description="Bytes of bodies in hand at once, likewise.",
    )

    @field_validator("max_in_hand_bytes")
    @classmethod
    def _the_largest_body_fits(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("max_body_bytes", 0):
            raise ValueError("must not be below RINGBACK_MAX_BODY_BYTES: such a body never fits")
        return value

    pending_rows: int = Field(
        default=10_000, ge=1, description="Rows that wait for the delivery log at most."
    )
    pending_bytes: int = Field(
        default=16 * _MIB, ge=1024, description="Bytes of those rows at most."
    )
    pending_payloads_below: int = Field(
        default=16,
        ge=0,
        description="Requests in hand below which those rows carry payloads. A busier gateway "
        "leaves the payloads to the processor, which then writes them when it finishes.",
    )
    gateway_drain_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=86400,
        description="Seconds to finish the requests in hand when told to stop, and to answer one "
        "more on each connection that is kept open.",
    )
