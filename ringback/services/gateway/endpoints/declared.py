"""The document that declares endpoints, field by field, and what each entry becomes."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.telemetry.spec import QuestionType
from ringback.runtime.endpoints.document import EventTypes, HttpUrl, Model, NetworkText
from ringback.runtime.endpoints.forwards import ForwardEntries, ForwardEntry, destination_of
from ringback.runtime.process.settings import schedule_text
from ringback.services.gateway.endpoints.credentials import AUTHORIZATION_HEADER, SharedSecret
from ringback.services.gateway.endpoints.declared_credentials import (
    CredentialEntry,
    HeaderSecrets,
    HmacCredential,
    OAuth2Credential,
    StandardWebhooksCredential,
    secret_bytes,
)
from ringback.services.gateway.endpoints.endpoint import (
    SECRET_HEADER,
    DeclaredForward,
    Endpoint,
    Question,
    handler_url,
)

_MAX_TIMEOUT_S = 300
_MAX_ASSISTANT_REQUEST_S = 7.5
_TIMEOUT_S = {"assistant-request": 6.5, "knowledge-base-request": 9.0}
_DEFAULT_TIMEOUT_S = 15.0


class QuestionEntry(Model):
    """Who answers the questions of one type, and what to answer when that fails.

    With `handler: true` a function with @answers, in a module of RINGBACK_ANSWERS, answers them.
    """

    url: HttpUrl | None = None
    handler: Literal[True] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=_MAX_TIMEOUT_S)] | None = None
    fallback: dict[str, JsonValue] | None = None

    @model_validator(mode="after")
    def _has_one_backend(self) -> "QuestionEntry":
        if (self.url is None) is (self.handler is None):
            raise ValueError("needs one of url and handler")
        return self

    def built(self, question_type: str, endpoint_id: str, org_id: UUID) -> Question:
        return Question(
            self.url or handler_url(question_type, endpoint_id, org_id),
            self.timeout_s or _TIMEOUT_S.get(question_type, _DEFAULT_TIMEOUT_S),
            self.fallback,
        )


class EndpointEntry(Model):
    """One endpoint: the org of its webhooks, and what proves their sender."""

    org_id: UUID
    state: Literal["enabled", "disabled"] = "enabled"
    event_types: Annotated[tuple[EventTypes, ...], Field(min_length=1)] = ("*",)
    credentials: tuple[CredentialEntry, ...] = ()
    secret: HeaderSecrets | None = None
    dedup_by: Literal["event", "message_id"] = "event"
    networks: tuple[NetworkText, ...] = ()
    questions: dict[QuestionType, QuestionEntry] = Field({})
    forward: ForwardEntries = ()
    retry_schedule: Annotated[str, AfterValidator(schedule_text)] | None = None

    @field_validator("org_id")
    @classmethod
    def _is_an_org(cls, value: UUID) -> UUID:
        if not value.int:
            raise ValueError(f"{value} is reserved for messages without an org")
        return value

    @field_validator("questions")
    @classmethod
    def _fits_the_call(
        cls, value: dict[QuestionType, QuestionEntry]
    ) -> dict[QuestionType, QuestionEntry]:
        asked = value.get("assistant-request")
        if asked is not None and (asked.timeout_s or 0) >= _MAX_ASSISTANT_REQUEST_S:
            raise ValueError(
                "assistant-request.timeout_s must be below "
                f"{_MAX_ASSISTANT_REQUEST_S:g}: Vapi waits no longer"
            )
        return value

    @model_validator(mode="after")
    def _has_message_ids(self) -> "EndpointEntry":
        """Each message id is signed, so that a request cannot be repeated under another id."""
        if self.dedup_by != "message_id":
            return self
        has_ids = False
        for place, one in enumerate(self.credentials):
            if isinstance(one, HmacCredential) and one.message_id_header:
                missing = one.missing_for_ids()
                if missing is not None:
                    raise ValueError(
                        f"dedup_by: message_id needs {missing % f'credentials.{place}'}: "
                        "anyone could repeat a signed request under a new id"
                    )
            has_ids |= isinstance(one, StandardWebhooksCredential) or (
                isinstance(one, HmacCredential) and one.signs_id()
            )
        if not has_ids:
            raise ValueError(
                "dedup_by: message_id needs a credential that signs one: standard_webhooks, or "
                "hmac with message_id_header and {svix-id} in its payload"
            )
        return self

    def credential_kinds(self) -> tuple[str, ...]:
        return (*["secret"] * (self.secret is not None), *(one.kind for one in self.credentials))

    def built(self, endpoint_id: str) -> Endpoint:
        shared = (
            (SharedSecret((SECRET_HEADER, AUTHORIZATION_HEADER), secret_bytes(self.secret)),)
            if self.secret
            else ()
        )
        return Endpoint(
            id=endpoint_id,
            org_id=self.org_id,
            credentials=(*shared, *(one.built() for one in self.credentials)),
            is_enabled=self.state == "enabled",
            event_types=self.event_types,
            is_deduplicated_by_message_id=self.dedup_by == "message_id",
            networks=tuple(ip_network(one) for one in self.networks),
            questions={
                name: one.built(name, endpoint_id, self.org_id)
                for name, one in self.questions.items()
            },
            retry_schedule=None
            if self.retry_schedule is None
            else RetrySchedule.parse(self.retry_schedule),
            credential_kinds=self.credential_kinds(),
            forwards=tuple(_declared(one, endpoint_id) for one in self.forward),
        )


def _declared(entry: ForwardEntry, endpoint_id: str) -> DeclaredForward:
    return DeclaredForward(
        name=entry.name,
        host=urlsplit(entry.url).netloc,
        destination=destination_of(endpoint_id, entry.name),
        event_types=entry.event_types,
    )


EndpointId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$")]


def _has_own_clients(entries: dict[str, EndpointEntry]) -> dict[str, EndpointEntry]:
    """A client of the token endpoint belongs to one endpoint. Raises ValueError."""
    seen: set[str | None] = set()
    for name, entry in entries.items():
        for one in entry.credentials:
            if isinstance(one, OAuth2Credential) and one.client_secret is not None:
                if one.client_id in seen:
                    raise ValueError(f"{name}: client_id {one.client_id} is declared twice")
                seen.add(one.client_id)
    return entries


DeclaredEntries = Annotated[dict[EndpointId, EndpointEntry], AfterValidator(_has_own_clients)]


class EndpointsDocument(Model):
    """The endpoints of a gateway, by the last part of their URL: /api/webhooks/vapi/<id>."""

    endpoints: DeclaredEntries


def json_schema() -> Mapping[str, Any]:
    """The published JSON Schema of the document."""
    schema = EndpointsDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
