"""The settings of the console."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from ringback.runtime.process.settings import Settings, http_url, url_parts

MIN_SECRET_BYTES = 32
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_SEGMENT = r"/[A-Za-z0-9_-][A-Za-z0-9._-]*"
_CLAIM = r"[\x21-\x7e]{1,200}"


def _secret(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"must have {MIN_SECRET_BYTES} bytes or more")
    return value


def _path(value: str) -> str:
    if re.fullmatch(f"({_SEGMENT})+", value) is None:
        raise ValueError("must be a path such as /console or /ops/ringback, without / at its end")
    if value.partition("/")[2].partition("/")[0] in {"api", "docs", "openapi.json"}:
        raise ValueError("is a path of the API; choose another one, such as /console")
    return value


def _origin(value: str) -> str:
    parts = url_parts(http_url(value), ("https", "http"))
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(
            "must be only scheme, host and port, such as https://ops.example.com; "
            "the path is RINGBACK_CONSOLE_PATH"
        )
    # As browsers write an origin.
    netloc = parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{netloc}"


def _ancestors(value: str) -> str:
    if value == "none":
        return value
    for source in value.split(","):
        if source.strip() == "self":
            continue
        parts = url_parts(source.strip(), ("https", "http"))
        if parts.path or parts.query or parts.fragment or re.search(r"[;'\"*]", source):
            raise ValueError(
                "must be none, self, or origins such as https://portal.example, comma separated"
            )
    return value


def _issuer(value: str) -> str:
    parts = url_parts(http_url(value), ("https",))
    if parts.query or parts.fragment:
        raise ValueError("must be the issuer's URL, without ? and #")
    return value


def _claim(value: str) -> str:
    if re.fullmatch(_CLAIM, value) is None:
        raise ValueError("must be the name of a claim, or of claims in each other, such as a.b")
    return value


Claim = Annotated[str, AfterValidator(_claim)]


class ConsoleSettings(Settings):
    """Whether there is a console, where, and how people sign in besides by a code."""

    console_secret: Annotated[SecretStr, AfterValidator(_secret)] | None = Field(
        default=None,
        description="A secret (32 bytes or more, the same for all replicas) that signs the "
        "sessions of the console. It turns the console on. See docs/how-to/use-the-console.md.",
    )
    console_path: Annotated[str, AfterValidator(_path)] = Field(
        default="/console",
        description="The console's path as the browser sees it, such as /ops/ringback behind a "
        "proxy that strips nothing.",
    )
    console_label: str = Field(
        default="",
        max_length=24,
        description="A word beside the console's name, such as production, so that nobody takes "
        "one installation for another.",
    )
    console_url: Annotated[str, AfterValidator(_origin)] | None = Field(
        default=None,
        description="Scheme, host and port at which browsers reach the console, such as "
        "https://ops.example.com: for links, for the return from an OIDC provider, and, with "
        "https, for secure cookies. Set it if people reach it through a proxy.",
    )
    console_frame_ancestors: Annotated[str, AfterValidator(_ancestors)] = Field(
        default="none",
        description="Which pages may show the console in a frame: none, self, or origins, comma "
        "separated.",
    )
    console_oidc_issuer: Annotated[str, AfterValidator(_issuer)] | None = Field(
        default=None,
        description="The issuer of an OpenID Connect provider (https), by which people sign in. "
        "Register RINGBACK_CONSOLE_URL + RINGBACK_CONSOLE_PATH + /oidc/callback there. The address "
        "must be public, or in RINGBACK_OUTGOING_NETWORKS.",
    )
    console_oidc_client_id: str | None = Field(
        default=None,
        validate_default=True,
        description="The client's id at the provider, with RINGBACK_CONSOLE_OIDC_ISSUER.",
    )
    console_oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="The client's secret. A public client, which has only PKCE, needs none.",
    )
    console_oidc_scope: str = Field(
        default="openid profile email", description="What is asked of the provider."
    )
    console_oidc_subject_claim: Claim = Field(
        default="sub",
        description="The claim of the id token with the person's name in the audit, such as email "
        "or preferred_username.",
    )
    console_oidc_role_claim: Claim = Field(
        default="role",
        description="The claim with the role: a text or a list. realm_access.roles is the claim "
        "roles in the claim realm_access.",
    )
    console_oidc_service_role: str = Field(
        default="service", description="The value of that claim for the role service."
    )
    console_oidc_tenant_role: str = Field(
        default="tenant", description="The value of that claim for the role tenant."
    )
    console_oidc_org_claim: Claim = Field(
        default="org_id", description="The claim with the organisation (a UUID) of a tenant."
    )

    @field_validator("console_oidc_client_id")
    @classmethod
    def _complete(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("console_oidc_issuer") is None:
            return value
        if value is None:
            raise ValueError("is required with RINGBACK_CONSOLE_OIDC_ISSUER")
        for name in ("console_secret", "console_url"):
            # Absent: it is already reported as invalid.
            if name in info.data and info.data[name] is None:
                raise ValueError(f"RINGBACK_CONSOLE_OIDC_ISSUER also needs RINGBACK_{name.upper()}")
        return value

    @property
    def console_address(self) -> str:
        """The public address of the console, without / at its end; empty if it is not known."""
        return f"{self.console_url}{self.console_path}" if self.console_url else ""
