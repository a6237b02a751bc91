"""The settings of the gateway."""

import re
from collections.abc import Sequence
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

from ringback.runtime.endpoints.document import FILE_SETTING, DocumentError
from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.outgoing.signature import signing_key
from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    HeaderSecret,
    Host,
    LogSettings,
    Networks,
    ObservabilitySettings,
    OutgoingSettings,
    RedactionSettings,
    Settings,
    TraceSettings,
)
from ringback.services.gateway.endpoints.credentials import AUTHORIZATION_HEADER, SharedSecret
from ringback.services.gateway.endpoints.document import (
    built,
    parse_entries,
    read_document,
)
from ringback.services.gateway.endpoints.endpoint import (
    DEFAULT_ENDPOINT_ID,
    SECRET_HEADER,
    Endpoint,
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
    parse_entries(value.get_secret_value(), Sources())
    return value


def _endpoints_file(value: Path) -> Path:
    read_document(value, Sources())
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
        default=None, description=FILE_SETTING
    )
    trusted_proxies: Networks = Field(
        default="",
        description="Networks of the proxies in front of the gateway, such as 10.0.0.0/8,fd00::/8. "
        "Only their X-Forwarded-For is used, for endpoints that declare `networks`.",
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
    def _every_endpoint_has_credentials(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if not {"allow_unauthenticated", "endpoints", "endpoints_file"} <= info.data.keys():
            return value
        _check(
            _others(info.data["endpoints"], info.data["endpoints_file"], Sources()),
            has_secret=value is not None,
            is_open=info.data["allow_unauthenticated"],
        )
        return value

    def read_endpoints(self, sources: Sources) -> tuple[Endpoint, ...]:
        """All endpoints, as the files declare them now. Raises DocumentError."""
        others = _others(self.endpoints, self.endpoints_file, sources)
        has_secret = self.vapi_secret is not None
        try:
            _check(others, has_secret=has_secret, is_open=self.allow_unauthenticated)
        except ValueError as exc:
            raise DocumentError([f"RINGBACK_VAPI_SECRET {exc}"]) from None
        if not has_secret and others:
            return others
        return (self._default_endpoint(), *others)

    def _default_endpoint(self) -> Endpoint:
        configured = (self.vapi_secret, self.vapi_secret_previous)
        secrets = tuple(one.get_secret_value().encode() for one in configured if one is not None)
        return Endpoint(
            id=DEFAULT_ENDPOINT_ID,
            org_id=self.default_org_id,
            credentials=(SharedSecret((SECRET_HEADER, AUTHORIZATION_HEADER), secrets),)
            if self.vapi_secret is not None
            else (),
            is_built_in=True,
            credential_kinds=("secret",) if self.vapi_secret is not None else (),
        )


def _others(text: SecretStr | None, file: Path | None, sources: Sources) -> tuple[Endpoint, ...]:
    if text is not None:
        return built(parse_entries(text.get_secret_value(), sources))
    return built(read_document(file, sources)) if file is not None else ()


def _check(others: Sequence[Endpoint], *, has_secret: bool, is_open: bool) -> None:
    """Raises ValueError, as a sentence about RINGBACK_VAPI_SECRET, if the rest is unsafe."""
    if has_secret and any(one.id == DEFAULT_ENDPOINT_ID for one in others):
        raise ValueError(f"is for the endpoint {DEFAULT_ENDPOINT_ID}, which is declared too")
    if is_open:
        return
    if not has_secret and not others:
        raise ValueError(f"is required: {OPEN_TO_ALL}")
    bare = ", ".join(endpoint.id for endpoint in others if not endpoint.credentials)
    if bare:
        raise ValueError(f"is not for other endpoints without credentials ({bare}): {OPEN_TO_ALL}")


def _signing_secret(value: SecretStr) -> SecretStr:
    signing_key(value.get_secret_value())
    return value


def _variable_names(value: str) -> str:
    for name in filter(None, (part.strip() for part in value.split(","))):
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None or name.startswith("RINGBACK_"):
            raise ValueError("must be names of variables that do not begin with RINGBACK_")
    return value


class QuestionSettings(Settings):
    """How questions are relayed to the backends that the endpoints declare."""

    question_signing_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] | None = Field(
        default=None,
        description="whsec_ and 24 to 64 bytes in base64 (or whsk_ and an Ed25519 key). Questions "
        "are signed with it as Standard Webhooks defines, so that a backend can check that they "
        "are from this gateway.",
    )
    answers: str = Field(
        default="",
        description="Modules with your functions that answer questions, comma separated. They run "
        "in a process of their own.",
    )
    answers_environment: Annotated[str, AfterValidator(_variable_names)] = Field(
        default="",
        description="Names of environment variables that these functions get, comma separated. "
        "Without it they get PATH and the like, but no secret.",
    )
    question_limit_per_backend: int = Field(
        default=50,
        ge=1,
        description="Maximum number of questions of one type and endpoint in flight. Above it they "
        "get the fallback.",
    )
    question_limit: int = Field(
        default=500,
        ge=1,
        description="Maximum number of questions in flight. Above it they get the fallback.",
    )
    max_answer_bytes: int = Field(
        default=_MIB, ge=1024, le=100 * _MIB, description="Maximum size of an answer."
    )


class GatewaySettings(
    EndpointSettings,
    QuestionSettings,
    OutgoingSettings,
    RedactionSettings,
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
        "or * (or ::) for all of IPv4 and IPv6.",
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

    org_rate_per_s: float = Field(
        default=50.0,
        ge=0,
        le=1_000_000,
        description="Webhooks per second that one org may send to one gateway, with a burst of "
        "as many. Above it, and for 30 s after, its webhooks are accepted but wait in "
        "webhooks.bulk, so that they do not delay other orgs. 0: no limit.",
    )
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
