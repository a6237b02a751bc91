"""Endpoints: the URLs that receive webhooks, each with its org and its secrets."""

import posixpath
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Protocol
from uuid import UUID

from multidict import MultiMapping
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from ringback.runtime.process.settings import header_value
from services.gateway.http.rejection import NO_SECRET, WRONG_SECRET, Rejection

DEFAULT_ENDPOINT_ID = "default"

SECRET_HEADER = "X-Vapi-Secret"  # ruff: ignore[hardcoded-password-string]  # a header's name
AUTHORIZATION_HEADER = "Authorization"

_BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The org of a webhook is that of its endpoint, whatever the body contains.

    Several secrets are valid while one is being replaced. An endpoint without secrets accepts
    everything; only RINGBACK_ALLOW_UNAUTHENTICATED allows such endpoints.
    """

    id: str
    org_id: UUID
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def authenticate(self, headers: MultiMapping[str]) -> Rejection | None:
        """Return a rejection unless these headers contain one of the secrets.

        Takes the same time whichever secret is wrong, and wherever it differs.
        """
        if not self.secrets:
            return None
        given = [text.encode(errors="surrogateescape") for text in _secrets_in(headers)]
        if not given:
            return NO_SECRET
        matches = [compare_digest(secret, one) for one in given for secret in self.secrets]
        return None if any(matches) else WRONG_SECRET


def _secrets_in(headers: MultiMapping[str]) -> Iterator[str]:
    """The secrets in the headers. Vapi sends an empty X-Vapi-Secret if no credential is set.

    In either header Vapi may or may not put `Bearer` in front of the secret.
    """
    for name in (SECRET_HEADER, AUTHORIZATION_HEADER):
        for value in headers.getall(name, ()):
            whole = value.strip()
            scheme, _, token = whole.partition(" ")
            if scheme.lower() == _BEARER:
                yield from (whole, token.strip()) if token else ()
            # Two words in Authorization are another scheme with its value.
            elif whole and (name == SECRET_HEADER or not token):
                yield whole


_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,63}$")]
_Secret = Annotated[
    str, StringConstraints(min_length=1, strip_whitespace=True), AfterValidator(header_value)
]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    org_id: UUID
    secret: _Secret | list[_Secret] = []


_ENTRIES = TypeAdapter(dict[_Id, _Entry])


def parse_endpoints(document: str) -> tuple[Endpoint, ...]:
    """Read `{"acme": {"org_id": "…", "secret": "…" or ["new", "old"]}}`.

    Raises ValueError, which names the entry and never shows a secret.
    """
    try:
        entries = _ENTRIES.validate_json(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:2]) or "the document"
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {message[:1].lower()}{message[1:]}") from None
    if DEFAULT_ENDPOINT_ID in entries:
        raise ValueError(f"the id {DEFAULT_ENDPOINT_ID} belongs to RINGBACK_VAPI_SECRET")
    for name, entry in entries.items():
        if not entry.org_id.int:
            raise ValueError(
                f"{name}.org_id: {entry.org_id} is reserved for messages without an org"
            )
    return tuple(_endpoints(entries))


def read_endpoints_file(path: Path) -> tuple[Endpoint, ...]:
    """Parse a file. Raises ValueError also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    return parse_endpoints(text)


def _endpoints(entries: Mapping[str, _Entry]) -> list[Endpoint]:
    return [
        Endpoint(
            id=endpoint_id,
            org_id=entry.org_id,
            secrets=tuple(
                secret.encode()
                for secret in ([entry.secret] if isinstance(entry.secret, str) else entry.secret)
            ),
        )
        for endpoint_id, entry in entries.items()
    ]


PATH = "/api/webhooks/vapi"


def routes_to(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """Every path that accepts webhooks. The default endpoint has two, one without its id."""
    routes = {f"{PATH}/{endpoint.id}": endpoint for endpoint in endpoints}
    default = routes.get(f"{PATH}/{DEFAULT_ENDPOINT_ID}")
    return routes if default is None else {PATH: default, **routes}


class RequestPath(Protocol):
    @property
    def raw_path(self) -> str: ...

    @property
    def path(self) -> str: ...


def match_route(request: RequestPath, routes: Container[str]) -> str | None:
    """The route for a request's path; extra slashes and blanks are ignored."""
    if request.raw_path in routes:
        return request.raw_path
    path = posixpath.normpath("/" + request.path.strip().lstrip("/"))
    return path if path in routes else None
